"""Makes the last build look like a new one, as if everything had been built again."""

from dataclasses import replace

import duckdb

from orchestration.transform.record import read_record, write_record
from pollux.runtime.settings import Settings


def build_again(
    settings: Settings,
    invocation_id: str | None = None,
    *,
    domain: str = "household",
    **changes: object,
) -> None:
    """Gives record and marts another invocation; `changes` apply to the record only."""
    record = read_record(settings, domain)
    assert record is not None
    fresh = invocation_id or f"{record.invocation_id}+"
    with duckdb.connect(settings.warehouse_path) as warehouse:
        for table in record.tables:
            name = f"{table.schema}.{table.name}"
            warehouse.execute(f"comment on table {name} is '{fresh}'").fetchall()
    write_record(settings, replace(record, **{"invocation_id": fresh, **changes}))
