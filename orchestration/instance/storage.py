"""Dagster's storage in PostgreSQL, with connections that are kept: `dagster.yaml` names it.

Dagster's own opens a connection for each statement outside of its web page. A run writes some
thousand statements.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy.engine import Engine

# Connections that a process keeps, and those beyond, for threads that ask at the same time.
KEPT_CONNECTIONS, MORE_CONNECTIONS = 3, 20
# Less than firewalls and load balancers let a connection be idle before they forget it in silence.
RENEWED_SECONDS = 200


class KeptConnections(DagsterPostgresStorage):
    """The same storage; its three parts share the connections of the process."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        for part in (self._run_storage, self._event_log_storage, self._schedule_storage):
            part._engine = _engine(postgres_url)  # noqa: SLF001 - the web page replaces it so, too

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Makes the storage that dagster.yaml describes."""
        return cls(config_value["postgres_url"], inst_data)


@cache
def _engine(postgres_url: str) -> Engine:
    """The connections of this process: each tick of a sensor makes an instance, and closes none."""
    return create_pg_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MORE_CONNECTIONS,
        pool_recycle=RENEWED_SECONDS,
        # The server may have been started again since.
        pool_pre_ping=True,
    )
