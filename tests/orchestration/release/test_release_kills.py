"""A release or rollback killed at every step: a whole release is served, the next one is right."""

from itertools import count

import psycopg
import pytest
from pydantic import SecretStr

from orchestration.release.follow import find_differences, mend_differences
from orchestration.release.parquet import linked_release
from orchestration.release.publish import release, rollback
from orchestration.release.registry import current_number, read_releases
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.support.builds import build_again
from tests.support.kills import kill_at, steps_of
from tests.support.lost_server import lost_server

pytestmark = pytest.mark.integration


def served(settings: Settings) -> int | None:
    with open_serving_store(settings).connect() as connection:
        return current_number(connection, "household")


def differences(settings: Settings) -> tuple[str, ...]:
    with open_serving_store(settings).connect() as connection:
        number = current_number(connection, "household")
        assert number is not None
        return find_differences(settings, connection, "household", number)


def assert_is_whole(settings: Settings, number: int | None) -> None:
    """Every mart of the served release has rows for the count that its release registered."""
    with open_serving_store(settings).connect() as connection:
        (row,) = [r for r in read_releases(connection, "household") if r.is_current]
        assert row.number == number
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = %s", [f"household__r{number}"]
        ).fetchall()
        counts = [
            connection.execute(f"select count(*) from household__r{number}.{name}").fetchone()
            for (name,) in tables
        ]
    assert sum(count for (count,) in counts) == row.rows > 0
    files = {
        path.stem for path in (settings.releases_dir / "household" / "current").glob("*.parquet")
    }
    assert files == {name for (name,) in tables}


@pytest.mark.endurance
def test_release_killed_at_every_step(released: Settings) -> None:
    steps = steps_of("release")
    assert len(steps) >= 9
    number = 1
    for step in steps:
        build_again(released)
        kill_at(step, release, released, "household")
        assert served(released) in (number, number + 1), step
        assert_is_whole(released, served(released))
        release(released, "household")
        number += 1
        assert served(released) == number, step
        assert differences(released) == (), step
        assert_is_whole(released, number)
    folder = released.releases_dir / "household"
    assert linked_release(folder) == f"r{number}"
    kept = {f"r{n}" for n in range(number - 2, number + 1)}
    assert {path.name for path in folder.iterdir()} == kept | {"current"}


@pytest.mark.endurance
def test_rollback_killed_at_every_step(released: Settings) -> None:
    """Steps after the switch are shared with a release; whichever command comes next mends."""
    shared = ["release.views_made", "release.linked", "release.old_tables_dropped"]
    cases = [(step, "release") for step in [*steps_of("rollback"), *shared]]
    cases += [("rollback.switched", "rollback"), ("rollback.switched", "doctor")]
    build_again(released)
    release(released, "household")
    for step, mended_by in cases:
        build_again(released)
        newest = release(released, "household").number
        kill_at(step, rollback, released, "household")
        expected = newest if step == "rollback.registered" else newest - 1
        assert served(released) == expected, step
        assert_served_is_found(released, step, expected)
        if mended_by == "release":
            release(released, "household")
        elif mended_by == "rollback":
            expected -= 1
            rollback(released, "household")
        else:
            mend_differences(released, open_serving_store(released))
        assert served(released) == expected, step
        assert differences(released) == (), step


def test_server_lost_at_any_statement_of_a_rollback_is_told(released: Settings) -> None:
    """From the first connection on it is one clear error, and a whole release is served."""
    build_again(released)
    release(released, "household")
    with lost_server(open_serving_store(released).owner_url) as server:
        lost = released.model_copy(update={"database_url": SecretStr(server.url)})
        told: list[str] = []
        for sends in count():
            server.sends = sends
            try:
                rollback(lost, "household", to=1)
            except PolluxError as error:
                told.append(str(error))
            if server.sends >= 0:
                break
            assert served(released) in (1, 2), sends
    assert len(told) > 10
    begins = (
        "The serving database cannot be reached: ",
        "The rollback of household failed: ",
        # It was done, and the answer lost.
        "Release 1 of household is not there to go back to; 1 is served",
    )
    assert [message for message in told if not message.startswith(begins)] == []
    assert served(released) == 1
    mend_differences(released, open_serving_store(released))
    assert differences(released) == ()
    assert_is_whole(released, 1)


def assert_served_is_found(settings: Settings, step: str, expected: int) -> None:
    """Right after the switch everything else still shows the release that was taken back."""
    found = differences(settings)
    if step == "rollback.switched":
        assert f"the views of household show release {expected + 1}, {expected} is served" in found
        assert f"releases/household/current links to r{expected + 1}, {expected} is served" in found
    elif step == "release.old_tables_dropped":
        assert found == ()


def test_views_left_behind_by_an_idle_reader_are_named_and_mended(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.release.views.LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr("orchestration.release.views.TRIES", 1)
    build_again(released)
    release(released, "household")
    database = open_serving_store(released)
    with database.connect_reader() as reader, reader.transaction():
        reader.execute("select * from household.hh_summary limit 1")
        report = rollback(released, "household")
        assert any("the views for people of household are as before" in n for n in report.notes)
        found = mend_differences(released, database)
        assert found["left"] == ("the views of household show release 2, 1 is served",)
    found = mend_differences(released, database)
    assert found == {"mended": ("the views of household show release 2, 1 is served",), "left": ()}
    with database.connect_reader() as reader:
        assert_views_show(reader, 1)


def assert_views_show(reader: psycopg.Connection, number: int) -> None:
    row = reader.execute("select pg_get_viewdef('household.hh_summary'::regclass)").fetchone()
    assert row is not None
    assert f"household__r{number}" in row[0]
