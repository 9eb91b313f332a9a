"""Somebody is erased while a load, a build, a release, events are under way: none brings them back.

Each is stopped where it has read the person and not yet written, or written and not yet said so.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from orchestration.build import build
from orchestration.erase.run import erase, finish, look, read_all
from orchestration.load.events import land_events
from orchestration.load.landing import domain_parts
from orchestration.load.run import load
from orchestration.release.publish import release
from pollux.runtime import erasures
from pollux.runtime.errors import PolluxError
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from tests.orchestration.erase.club import OTHER, files_with, write_list
from tests.support.installations import Prepared
from tests.support.kills import start, wait_until_paused
from tests.support.live_events import make_events_schema, take_in

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

SERVED = "select email from loyalty__r{number}.members"


@pytest.fixture(scope="module")
def settings(prepared: Prepared, short_tmp: Path) -> Iterator[Settings]:
    """An installation of the club alone, of which nothing was built yet."""
    made = prepared.empty(short_tmp / "meanwhile" / "data")
    made = made.model_copy(update={"lock_timeout_seconds": 1})
    with open_serving_store(made).connect() as connection:
        make_events_schema(connection)
    yield made
    EmbeddedPostgres(made.data_dir).stop()


@contextmanager
def stopped(step: str, function: Callable[..., object], *arguments: object, **named: object):
    """A process that waits at a step for the length of the block, then goes on to its end."""
    process = start(f"pause:{step}", function, *arguments, **named)
    wait_until_paused(process)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.join()
    assert process.exitcode == 0


def build_loyalty(settings: Settings) -> None:
    build(settings, ["loyalty"]).raise_if_failed()


def refuse_to_finish(settings: Settings, member: Subject) -> None:
    """No service answers with the member any more; the bytes have to wait."""
    with pytest.raises(PolluxError):
        erase(settings, member)
    assert read_all(settings)[-1][0].finished_at is None


def assert_nothing_is_left(settings: Settings, member: Subject) -> None:
    assert len(finish(settings)) == 1
    assert look(settings, member).places == []
    assert files_with(settings, member.id) == []


def list_of(settings: Settings, *emails: str) -> Path:
    return write_list(settings.data_dir.parent / "raw", [*emails, OTHER])


def served(settings: Settings, number: int) -> set[str]:
    with open_serving_store(settings).connect() as connection:
        rows = connection.execute(SERVED.format(number=number).encode()).fetchall()
    return {email for (email,) in rows}


def test_while_a_load_a_build_and_a_release_are_under_way(settings: Settings) -> None:
    loading, building, releasing = (
        Subject("member", f"{name}@canary.example") for name in ("lena", "bea", "rita")
    )
    everybody = [one.id for one in (loading, building, releasing)]
    raw = list_of(settings, *everybody)
    with stopped("load.staged", load, settings, domain="loyalty", from_=raw):
        refuse_to_finish(settings, loading)
    # It had read who was not erased yet.
    (part,) = domain_parts(settings, "loyalty")
    assert part.rows_landed == 4
    assert_nothing_is_left(settings, loading)

    with stopped("build.built", build_loyalty, settings):
        refuse_to_finish(settings, building)
    assert_nothing_is_left(settings, building)

    with stopped("release.tables_committed", release, settings, "loyalty"):
        refuse_to_finish(settings, releasing)
    assert served(settings, 1) == {OTHER}
    assert_nothing_is_left(settings, releasing)
    assert served(settings, 1) == {OTHER}

    # Whoever was erased stays out, whatever brings them.
    load(settings, domain="loyalty", from_=list_of(settings, *everybody))
    build_loyalty(settings)
    assert release(settings, "loyalty").number == 2
    assert served(settings, 2) == {OTHER}


def test_the_last_event_that_landed(settings: Settings) -> None:
    """Its number is not given again, and a reload of the raw file brings nobody back."""
    erna = Subject("member", "erna@canary.example")
    load(settings, domain="loyalty", from_=list_of(settings, erna.id))
    with open_serving_store(settings).connect() as connection:
        take_in(connection, "loyalty_list", [{"email": OTHER}, {"email": erna.id}])
    assert land_events(settings)["loyalty_list"] == 2
    erase(settings, erna)
    assert files_with(settings, erna.id) == []
    assert land_events(settings)["loyalty_list"] == 0
    with open_serving_store(settings).connect() as connection:
        take_in(connection, "loyalty_list", [{"email": "new@canary.example"}])
    assert land_events(settings)["loyalty_list"] == 1
    load(settings, domain="loyalty", from_=list_of(settings, erna.id.upper()))
    assert look(settings, erna).places == []
    assert files_with(settings, erna.id) == []
    parts = {part.name: part.rows_landed for part in domain_parts(settings, "events")}
    assert parts == {
        "loyalty_list_000000000001-000000000002": 1,
        "loyalty_list_000000000003-000000000003": 1,
    }


def orders_landed(settings: Settings) -> list[tuple[int, int]]:
    parts = settings.landing_dir / "events" / "order_lines" / "*.parquet"
    query = f"select order_id, customer_id from '{parts}' order by number"
    return duckdb.connect().execute(query).fetchall()


def test_an_order_that_was_given_to_them_is_not_anothers_again(settings: Settings) -> None:
    """What landed before the event that gave it to them says whose it was."""

    def take(*orders: tuple[int, int]) -> None:
        rows = [{"order_id": order, "customer_id": customer} for order, customer in orders]
        with open_serving_store(settings).connect() as connection:
            take_in(connection, "order_lines", rows)

    take((10, 7), (11, 7))
    assert land_events(settings)["order_lines"] == 2
    # The last is theirs no more, so it stays.
    take((10, 8), (12, 8), (12, 7))
    erase(settings, Subject("customer", "8"))
    assert orders_landed(settings) == [(11, 7)]
    assert land_events(settings)["order_lines"] == 1
    assert orders_landed(settings) == [(11, 7), (12, 7)]
    with open_serving_store(settings).connect() as connection:
        assert erasures.read_orders(connection) == {}
