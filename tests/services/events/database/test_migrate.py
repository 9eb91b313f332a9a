"""Migrations: each once, with a checksum; a newer schema and a changed file are refused."""

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from uuid import uuid4

import psycopg
import pytest

from orchestration.release.registry import prepare_store
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import PROJECT_DIR
from services.events.database.migrate import (
    MIGRATIONS,
    MigrationError,
    migrate,
    prepare_database,
)

NAMES = sorted(file.stem for file in MIGRATIONS.glob("*.sql"))
# As version 0.1.0 had it.
OLD_TABLE = """
create schema events;
create table events.migrations (
    name text primary key, applied_at timestamptz not null default clock_timestamp()
);
"""
OLD = ("0001_start", "0002_threshold_and_indexes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations, for a test to change."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))


def ran(store: ServingStore) -> list[tuple[str, str, str]]:
    with store.connect() as connection:
        sql = "select name, checksum, version from events.migrations order by name"
        return connection.execute(sql).fetchall()


def run(store: ServingStore, folder: Path = MIGRATIONS) -> list[str]:
    with store.connect() as connection:
        return migrate(connection, folder)


def test_each_runs_once_and_is_noted(empty: ServingStore) -> None:
    assert run(empty) == NAMES
    assert run(empty) == []
    rows = ran(empty)
    assert [row[0] for row in rows] == NAMES
    for name, checksum, by in rows:
        # The same sum as anybody's tool makes.
        output = subprocess.check_output(["sha256sum", MIGRATIONS / f"{name}.sql"], text=True)
        assert checksum == output.split()[0]
        assert by == version("pollux")


def test_a_failing_one_leaves_nothing(empty: ServingStore, folder: Path) -> None:
    (folder / "9999_wrong.sql").write_text("create table events.extra (); select 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        run(empty, folder)
    with empty.connect() as connection:
        assert connection.execute("select to_regnamespace('events')").fetchone() == (None,)


def test_an_older_program_refuses_a_newer_schema(empty: ServingStore, folder: Path) -> None:
    (folder / "9998_more.sql").write_text("create table events.more ();")
    (folder / "9999_next.sql").write_text("create table events.next ();")
    run(empty, folder)
    with empty.connect() as connection:
        connection.execute("update events.migrations set version = '7.1.0' where name ~ '^9'")
    with pytest.raises(MigrationError) as caught:
        run(empty)
    assert str(caught.value) == (
        "Schema events is newer than this program: Pollux 7.1.0 ran migration 9999_next, which "
        f"Pollux {version('pollux')} does not know. Start a Pollux that does."
    )
    assert caught.value.exit_code == 3
    assert run(empty, folder) == []


def test_a_migration_that_was_changed_is_refused(empty: ServingStore, folder: Path) -> None:
    run(empty)
    file = folder / f"{OLD[1]}.sql"
    text = file.read_text()
    file.write_text(text + "\n-- Nobody knows that this did not run.\n")
    with pytest.raises(MigrationError) as caught:
        run(empty, folder)
    assert str(caught.value) == (
        f"Migration {OLD[1]} of schema events is not the one that ran here with Pollux "
        f"{version('pollux')}: its file was changed since. Restore the file; a change of the "
        "schema needs a migration of its own."
    )
    # How its lines end is no change.
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert run(empty, folder) == []


def test_an_installation_of_the_first_version_is_taken_on(empty: ServingStore) -> None:
    """It noted names only; what is in its tables stays."""
    with empty.connect() as connection:
        connection.execute(OLD_TABLE.encode())
        for name in OLD:
            connection.execute((MIGRATIONS / f"{name}.sql").read_bytes())
            connection.execute("insert into events.migrations (name) values (%s)", [name])
        identity = connection.execute("select id from events.identity").fetchone()
    assert run(empty) == [name for name in NAMES if name not in OLD]
    with empty.connect() as connection:
        assert connection.execute("select id from events.identity").fetchone() == identity
    assert all(row[1] for row in ran(empty))
    assert run(empty) == []


def test_what_the_first_version_ran_is_what_is_here() -> None:
    """Its installations have no checksum that would tell: the files must not change."""
    for name in OLD:
        file = MIGRATIONS / f"{name}.sql"
        first = subprocess.run(
            ["git", "show", f"93a96ef:services/events/migrations/{name}.sql"],
            cwd=PROJECT_DIR,
            capture_output=True,
            check=False,
        )
        if first.returncode:
            pytest.skip("the first version is not in this checkout's history")
        assert file.read_bytes() == first.stdout


def test_two_that_start_at_once_run_one_after_the_other(empty: ServingStore) -> None:
    found: list[list[str]] = []
    threads = [Thread(target=lambda: found.append(run(empty))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[], [], [], NAMES]


def test_a_release_may_give_rights_while_a_worker_starts(empty: ServingStore) -> None:
    def again_and_again(prepare: Callable[[psycopg.Connection, ServingStore], None]) -> None:
        with empty.connect() as connection:
            for _ in range(30):
                prepare(connection, empty)
                connection.commit()

    # Both change the rights of the same role on the same tables.
    with ThreadPoolExecutor(2) as both:
        for done in [
            both.submit(again_and_again, one) for one in (prepare_database, prepare_store)
        ]:
            done.result()


def test_the_reader_is_made_before_anything_is_released(empty: ServingStore) -> None:
    role = f"reader_{uuid4().hex}"
    with empty.connect() as connection:
        prepare_database(connection, replace(empty, reader_role=role))
        found = connection.execute("select rolcanlogin from pg_roles where rolname = %s", [role])
        assert found.fetchone() == (True,)
        connection.execute(f"drop owned by {role}; drop role {role}")


def test_an_owner_who_may_not_make_the_reader_is_told_what_to_set(empty: ServingStore) -> None:
    assert empty.embedded is not None
    owner, role = f"owner_{uuid4().hex}", f"reader_{uuid4().hex}"
    database = empty.owner_url.rpartition("/")[2].partition("?")[0]
    with empty.connect(autocommit=True) as connection:
        connection.execute(f"create role {owner} login")
        try:
            url = empty.embedded.url(user=owner, database=database)
            with (
                psycopg.connect(url) as poor,
                pytest.raises(MigrationError, match="POLLUX_READER_URL") as caught,
            ):
                prepare_database(poor, replace(empty, reader_role=role))
            assert f"may not create or use the role {role}" in str(caught.value)
        finally:
            connection.execute(f"drop role {owner}")
