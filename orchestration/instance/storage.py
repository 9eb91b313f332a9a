"""Dagster's storage in PostgreSQL, with connections that are kept: `dagster.yaml` names it.

Dagster's own opens a connection for each statement outside of its web page. A run writes some
thousand statements.
"""

from collections.abc import Mapping
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine

# Connections beyond the one that is kept, for threads that ask at the same time.
MORE_CONNECTIONS = 20


class KeptConnections(DagsterPostgresStorage):
    """The same storage; each of its three parts keeps one connection."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        for part in (self._run_storage, self._event_log_storage, self._schedule_storage):
            part._engine = create_pg_engine(  # noqa: SLF001 - the web page replaces it so, too
                postgres_url,
                isolation_level="AUTOCOMMIT",
                pool_size=1,
                max_overflow=MORE_CONNECTIONS,
                # The server may have been started again since.
                pool_pre_ping=True,
            )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Makes the storage that dagster.yaml describes."""
        return cls(config_value["postgres_url"], inst_data)
