"""PostgreSQL's statistics of a table that has become empty forget an erased person, too."""

import time
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


def test_analysis_that_began_before_writes_nothing_after(short_tmp: Path) -> None:
    """The server's own, slowed down: it has seen rows that are gone when it writes what it saw."""
    store = open_serving_store(Settings(data_dir=short_tmp / "analysis"))
    anna = Subject(MEMBER, "anna@example.org")
    running = "select pid from pg_stat_activity where query like 'autovacuum: % public.mailed'"
    with store.connect() as connection:
        prepare(connection)
        connection.commit()
    with store.connect(autocommit=True) as connection:
        columns = {MEMBER: id_columns(connection, MEMBER)}
        connection.execute("alter system set autovacuum_naptime = '1s'")
        connection.execute("select pg_reload_conf()")
        connection.execute(
            "create table public.mailed (email text) with (autovacuum_analyze_threshold = 1, "
            "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
        )
        connection.execute(
            "insert into public.mailed select %s from generate_series(1, 5000)", [anna.value]
        )
        deadline = time.monotonic() + 60
        while (before := connection.execute(running).fetchone()) is None:
            assert time.monotonic() < deadline, "nothing was analysed"
            time.sleep(0.05)
        began = time.monotonic()
        # Of another table: that of the analysis would be waited for.
        rewrite_tables(store, [], [anna], columns)
        # The next may have begun meanwhile.
        assert before not in connection.execute(running).fetchall()
        assert time.monotonic() - began < 30
