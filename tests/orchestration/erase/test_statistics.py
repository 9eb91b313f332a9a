"""PostgreSQL's statistics of a table that has become empty forget an erased person, too."""

from pathlib import Path

import pytest

from orchestration.erase.database import rewrite_tables
from orchestration.erase.scan_database import scan_database
from pollux.runtime.erasures import prepare
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.subject_rows import id_columns
from pollux.subjects import MEMBER, Subject

pytestmark = pytest.mark.integration


def test_statistics_of_a_table_that_is_empty_now(short_tmp: Path) -> None:
    store = open_serving_store(Settings(data_dir=short_tmp / "statistics"))
    anna = Subject(MEMBER, "anna@example.org")
    with store.connect() as connection:
        prepare(connection)
        connection.commit()
    with store.connect(autocommit=True) as connection:
        connection.execute("create table public.mailed (email text)")
        # Whatever is seen more than once is a common value.
        connection.execute(
            "insert into public.mailed select %s from generate_series(1, 3)", [anna.value]
        )
        connection.execute("analyze public.mailed")
        connection.execute("delete from public.mailed")
        columns = {MEMBER: id_columns(connection, MEMBER)}

        def found() -> dict[str, int]:
            return {name: rows for name, rows in scan_database(connection, [anna], columns) if rows}

        assert found() == {"pg_catalog.pg_statistic": 1}
        rewrite_tables(store, ["public.mailed"], [anna], columns)
        assert found() == {}
