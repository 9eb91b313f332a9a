"""Events of the event service land: every row once, none missed, none of another database."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pytest

from orchestration.build import build, loaded_domains
from orchestration.defs.definitions import build_definitions
from orchestration.defs.reporting import LogReporter
from orchestration.instance.in_process import execute
from orchestration.load import events, landing
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.event_datasets import event_datasets, events_fingerprint
from orchestration.load.events import land_events
from orchestration.load.run import load
from orchestration.status import build_status
from orchestration.transform.graph import domains, needed_by
from orchestration.transform.manifest import prepare_manifest, read_manifest
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from sample.generate import generate
from tests.orchestration.defs.test_runs import failures, materialized
from tests.support.kills import is_killed_at
from tests.support.live_events import make_events_schema, take_in

pytestmark = pytest.mark.integration

Connection = psycopg.Connection[Any]
SALES = {"conversion_type": "purchase", "items": "[6]", "total": "9.45"}


@pytest.fixture(scope="module")
def cluster(prepared, short_tmp) -> Settings:
    settings = prepared.empty(short_tmp / "events")
    open_serving_store(settings)
    return settings


@pytest.fixture
def settings(cluster: Settings) -> Settings:
    """An installation whose event service has just begun, on one server for all tests."""
    with open_serving_store(cluster).connect() as connection:
        make_events_schema(connection)
    for dataset in event_datasets():
        for part in landing.parts(cluster, dataset):
            part.path.unlink()
    return cluster


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with open_serving_store(settings).connect(autocommit=True) as connection:
        yield connection


def dataset(name: str) -> Any:
    return next(one for one in event_datasets() if one.name == name)


def parts(settings: Settings, name: str) -> list[str]:
    return [part.name for part in landing.parts(settings, dataset(name))]


def landed(settings: Settings, name: str, columns: str = "number") -> list[tuple[Any, ...]]:
    files = landing.dataset_dir(settings, dataset(name)) / "*.parquet"
    return duckdb.sql(f"select {columns} from read_parquet('{files}') order by number").fetchall()


def test_without_a_cluster_none_is_made(short_tmp) -> None:
    settings = Settings(data_dir=short_tmp / "no_events")
    assert land_events(settings) == {}
    assert not EmbeddedPostgres(settings.data_dir).exists()


def test_without_the_services_tables_nothing_lands(settings, connection) -> None:
    connection.execute("drop schema events cascade")
    assert land_events(settings) == {}


def test_rows_land_once_and_then_only_new_ones(settings, connection) -> None:
    nothing = dict.fromkeys([one.name for one in event_datasets()], 0)
    assert land_events(settings) == nothing
    assert events_fingerprint(settings, "loyalty") == ""
    take_in(connection, "conversions", [{"email": f"{n}@b.c"} for n in range(3)])
    assert land_events(settings) == nothing | {"conversions": 3}
    seen = [events_fingerprint(settings, "loyalty")]
    assert land_events(settings)["conversions"] == 0
    assert events_fingerprint(settings, "loyalty") == seen[0]
    # A number that was given to a transaction that failed is left out for ever.
    with connection.transaction(force_rollback=True):
        take_in(connection, "conversions", [{}])
    take_in(connection, "conversions", [{}, {}])
    assert land_events(settings)["conversions"] == 2
    assert events_fingerprint(settings, "loyalty") not in seen
    assert events_fingerprint(settings, "store") == ""
    assert landed(settings, "conversions") == [(1,), (2,), (3,), (5,), (6,)]
    assert parts(settings, "conversions") == [
        "conversions_000000000001-000000000003",
        "conversions_000000000004-000000000006",
    ]


def test_many_rows_land_in_parts(settings, connection, monkeypatch) -> None:
    monkeypatch.setattr("orchestration.load.events.PART_ROWS", 2)
    take_in(connection, "loyalty_list", [{}] * 5)
    assert land_events(settings)["loyalty_list"] == 5
    assert landed(settings, "loyalty_list") == [(n,) for n in range(1, 6)]
    assert len(parts(settings, "loyalty_list")) == 3


def test_values_arrive_as_they_are(settings, connection) -> None:
    connection.execute("set timezone = 'America/New_York'")
    connection.execute("alter database pollux set datestyle = 'German'")
    names = ['plain "quoted", comma', "two\nlines\r\nand more", "", None, "NULL", "ünï 🦘 \\N \t"]
    take_in(connection, "loyalty_list", [{"fb_user": name} for name in names])
    take_in(
        connection,
        "decisions",
        [
            {
                "kind": "focus",
                "customer_id": 2**62,
                "department": "Sport",
                # Midnight of the shop lies an hour or two before that of UTC.
                "event_at": "2026-07-01T22:30:00.123456Z",
                "event_date": "2026-07-02",
                "outcome": "offer",
                "coupon_id": 7,
                "prediction": 0.1 + 0.2,
            },
            {"event_at": "1976-02-04T23:00:00Z", "event_date": "1976-02-05"},
        ],
    )
    take_in(connection, "conversions", [SALES | {"is_new_member": True}])
    land_events(settings)
    connection.execute("alter database pollux reset datestyle")
    assert landed(settings, "loyalty_list", "fb_user") == [(name,) for name in names]
    columns = (
        "customer_id, department, event_at, event_shop_time, event_date, coupon_id, prediction"
    )
    assert landed(settings, "decisions", columns) == [
        (
            2**62,
            "Sport",
            datetime.fromisoformat("2026-07-01 22:30:00.123456"),
            datetime.fromisoformat("2026-07-02 00:30:00.123456"),
            date(2026, 7, 2),
            7,
            0.1 + 0.2,
        ),
        (
            1,
            None,
            datetime.fromisoformat("1976-02-04 23:00:00"),
            datetime.fromisoformat("1976-02-05 00:00:00"),
            date(1976, 2, 5),
            None,
            None,
        ),
    ]
    assert landed(settings, "conversions", "total, is_code_sent, is_new_member, channel") == [
        (Decimal("9.45"), False, True, None)
    ]


def test_a_row_that_is_not_yet_committed_is_waited_for(settings, connection) -> None:
    """It has the lower number, and would be behind what has landed when it appears."""
    done: list[dict[str, int]] = []
    with open_serving_store(settings).connect() as slow:
        take_in(slow, "decisions", [{}])
        take_in(connection, "decisions", [{}])
        lander = threading.Thread(target=lambda: done.append(land_events(settings)))
        lander.start()
        time.sleep(0.3)
        assert done == []
        # Events go on meanwhile, and are not waited for.
        take_in(connection, "decisions", [{}])
        slow.commit()
    lander.join(timeout=120)
    assert done[0]["decisions"] == 2
    assert landed(settings, "decisions") == [(1,), (2,)]
    assert land_events(settings)["decisions"] == 1


def test_who_writes_for_too_long_is_named(settings, connection) -> None:
    hasty = settings.model_copy(update={"lock_timeout_seconds": 0.1})
    with open_serving_store(settings).connect() as slow:
        take_in(slow, "decisions", [{}])
        with pytest.raises(LandingError, match=str(slow.info.backend_pid)):
            land_events(hasty)
        slow.rollback()
    assert land_events(settings)["decisions"] == 0


def test_landing_while_events_pour_in_misses_none(settings, connection) -> None:
    def pour(count: int) -> None:
        with open_serving_store(settings).connect() as writer:
            for place in range(count):
                take_in(writer, "decisions", [{}] * (place % 3 + 1))
                # As long as a group of events may take, so that numbers overtake one another.
                time.sleep(place % 4 * 0.003)
                if place % 5 == 4:
                    writer.rollback()
                writer.commit()

    writers = [threading.Thread(target=pour, args=[60]) for _ in range(4)]
    for writer in writers:
        writer.start()
    rounds = 0
    while any(writer.is_alive() for writer in writers):
        land_events(settings, [dataset("decisions")])
        rounds += 1
    land_events(settings, [dataset("decisions")])
    there = connection.execute("select number from events.decisions order by number").fetchall()
    assert rounds > 1
    assert landed(settings, "decisions") == there


def test_what_landed_is_not_lost_with_the_server(short_tmp) -> None:
    """The event service does not wait for the disk; what landed must be there all the same."""
    settings = Settings(data_dir=short_tmp / "lost")
    store = open_serving_store(settings)
    assert store.embedded is not None
    with store.connect(autocommit=True) as connection:
        # Nothing is written to disk by the way.
        connection.execute("alter system set wal_writer_delay = '10s'")
        connection.execute("select pg_reload_conf()")
        make_events_schema(connection)
        connection.execute("checkpoint")
        connection.execute("set synchronous_commit = 'off'")
        take_in(connection, "decisions", [{}] * 3)
        assert land_events(settings)["decisions"] == 3
        take_in(connection, "decisions", [{}])
        store.embedded.kill()
    store = open_serving_store(settings)
    with store.connect(autocommit=True) as connection:
        # The last one is lost indeed, and the next has its number or a later one.
        assert connection.execute("select count(*) from events.decisions").fetchone() == (3,)
        take_in(connection, "decisions", [{}])
    assert land_events(settings)["decisions"] == 1


@pytest.mark.parametrize("rows", [0, 2, 9])
def test_another_database_is_refused_and_nothing_changes(settings, connection, rows) -> None:
    take_in(connection, "conversions", [{}] * 4)
    land_events(settings)
    before = events_fingerprint(settings, "loyalty")
    make_events_schema(connection)
    take_in(connection, "conversions", [{}] * rows)
    with pytest.raises(LoadError, match="number 4") as caught:
        land_events(settings)
    assert "Move" in str(caught.value)
    assert events_fingerprint(settings, "loyalty") == before
    # As the message says.
    folder = landing.dataset_dir(settings, dataset("conversions"))
    folder.rename(settings.data_dir / f"moved_away_{rows}")
    assert land_events(settings)["conversions"] == rows


@pytest.mark.parametrize(
    "gone", ["number = 4", "number > 2", "number = 1", "true"], ids=["last", "tail", "first", "all"]
)
def test_landing_goes_on_where_rows_were_deleted(settings, connection, gone) -> None:
    """As when somebody asks to be forgotten."""
    take_in(connection, "conversions", [{}] * 4)
    land_events(settings)
    connection.execute(f"delete from events.conversions where {gone}")
    assert land_events(settings)["conversions"] == 0
    take_in(connection, "conversions", [{}] * 2)
    assert land_events(settings)["conversions"] == 2
    # What landed is history, and stays.
    assert landed(settings, "conversions") == [(n,) for n in range(1, 7)]
    connection.execute("delete from events.conversions")
    assert land_events(settings)["conversions"] == 0


def test_another_database_is_refused_though_the_last_row_is_missing_there(
    settings, connection
) -> None:
    take_in(connection, "conversions", [{}] * 4)
    land_events(settings)
    make_events_schema(connection)
    take_in(connection, "conversions", [{}] * 9)
    connection.execute("delete from events.conversions where number = 4")
    with pytest.raises(LoadError) as caught:
        land_events(settings)
    folder = landing.dataset_dir(settings, dataset("conversions"))
    assert str(caught.value) == (
        "events.conversions is not the table that rows up to number 4 have landed from: number 3 "
        "is another row there. It is of another database, or was restored from a backup, and its "
        f"new events would be missed. Move {folder} away to land what it holds now, or point "
        "POLLUX_DATABASE_URL to the earlier database."
    )


def test_rows_that_are_deleted_while_they_land_end_the_landing(settings, connection, monkeypatch):
    take_in(connection, "conversions", [{}] * 5)
    monkeypatch.setattr("orchestration.load.events.PART_ROWS", 2)
    copy = events._copy_range

    def copy_and_delete(*args: Any) -> int:
        rows = copy(*args)
        connection.execute("delete from events.conversions where number > 2")
        return rows

    monkeypatch.setattr(events, "_copy_range", copy_and_delete)
    assert land_events(settings)["conversions"] == 2
    assert landed(settings, "conversions") == [(1,), (2,)]
    assert land_events(settings)["conversions"] == 0


@pytest.mark.parametrize("step", ["load.staged", "load.journaled", "load.removed", "load.moved:2"])
def test_killed_while_rows_land_again_none_is_missed(settings, connection, step) -> None:
    narrow = dataset("conversions")
    narrow = replace(narrow, columns=narrow.columns[:-1])
    for count in (3, 1):
        take_in(connection, "conversions", [{}] * count)
        land_events(settings, [narrow])
    take_in(connection, "conversions", [{}])
    assert is_killed_at(step, land_in_parts, settings)
    found = [part.declaration for part in landing.parts(settings, dataset("conversions"))]
    assert len(set(found)) == 1
    numbers = [number for (number,) in landed(settings, "conversions")]
    assert numbers == list(range(1, len(numbers) + 1))
    land_events(settings)
    assert landed(settings, "conversions", "number, received_at is null") == [
        (n, False) for n in range(1, 6)
    ]


def land_in_parts(settings: Settings) -> None:
    events.PART_ROWS = 2
    land_events(settings, [dataset("conversions")])


def test_rows_land_again_where_the_columns_changed(settings, connection) -> None:
    narrow = dataset("conversions")
    narrow = replace(narrow, columns=narrow.columns[:-1])
    take_in(connection, "conversions", [{}] * 3)
    assert land_events(settings, [narrow])["conversions"] == 3
    take_in(connection, "conversions", [{}])
    assert land_events(settings)["conversions"] == 4
    assert landed(settings, "conversions", "number, received_at is null") == [
        (n, False) for n in range(1, 5)
    ]


def test_events_are_loaded_from_no_file(settings, tmp_path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("number\n1\n")
    for name in (None, "decisions"):
        with pytest.raises(LoadError, match="comes from no files"):
            load(settings, domain="events", from_=path, dataset=name, replace=True)


def test_declared_feeds_are_what_marts_are_made_of(built: Settings) -> None:
    manifest = read_manifest(built)
    for one in event_datasets():
        source = f"source.pollux.events.{one.name}"
        fed = {domain for domain in domains(manifest) if source in needed_by(manifest, domain)}
        assert fed == set(one.feeds), one.name


@pytest.mark.endurance
def test_new_events_make_a_build_due_and_reach_the_marts(settings, connection, tmp_path) -> None:
    generate("loyalty", tmp_path, scale=0.01, seed=1)
    load(settings, domain="loyalty", from_=tmp_path, sample=True)
    take_in(connection, "decisions", [{}])
    build(settings, ["loyalty"]).raise_if_failed()
    # The shop's events land with the shop.
    assert landed(settings, "decisions") == []
    assert loaded_domains(settings) == ("loyalty",)
    status = build_status(settings, "loyalty")
    assert status is not None
    assert status.is_up_to_date
    buyer = SALES | {"email": "New.One@b.c", "is_new_member": True}
    take_in(connection, "conversions", [buyer | {"received_at": "2026-11-20T10:00:00+01"}])
    land_events(settings)
    status = build_status(settings, "loyalty")
    assert status is not None
    assert not status.is_up_to_date

    prepare_manifest(settings)
    found = build_definitions(
        read_manifest(settings), retries=None, settings=settings, reporter=LogReporter()
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = execute(found.resolve_job_def("loyalty"), instance)
    assert failures(result) == {}
    assert materialized(result)["events/conversions"]["dagster/row_count"] == 1
    assert "events/decisions" not in materialized(result)
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        member = warehouse.execute(
            "select joined_by, joined_at from warehouse_marts.members where email = 'new.one@b.c'"
        ).fetchall()
        sale = warehouse.execute(
            "select email, items, total from warehouse_marts.conversions "
            "where converted_at is not null"
        ).fetchall()
    assert member == [("purchase", datetime.fromisoformat("2026-11-20 09:00:00"))]
    assert sale == [("new.one@b.c", "6", Decimal("9.45"))]


@pytest.mark.endurance
def test_a_club_without_files_lives_on_events(prepared, short_tmp) -> None:
    settings = prepared.empty(short_tmp / "live_club")
    with open_serving_store(settings).connect() as connection:
        make_events_schema(connection)
        take_in(connection, "loyalty_list", [{"gender": "F"}])
    land_events(settings)
    assert loaded_domains(settings) == ("loyalty",)
    build(settings, ["loyalty"]).raise_if_failed()
