"""A release: all at once, audited, kept, rolled back; and what it refuses."""

import json
import threading
import time

import duckdb
import psycopg
import pytest

from orchestration.release import publish
from orchestration.release.errors import ReleaseError
from orchestration.release.marts import DuckDBMarts
from orchestration.release.publish import release, rollback
from orchestration.release.registry import read_releases
from orchestration.transform.dbt import target_dir
from orchestration.transform.record import read_record
from pollux.contracts import read_contract
from pollux.quality import Quality
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.support.builds import build_again
from tests.support.receivers import receiving

pytestmark = pytest.mark.integration


def current(settings: Settings) -> int:
    with open_serving_store(settings).connect() as connection:
        return next(row.number for row in read_releases(connection, "household") if row.is_current)


def schemas(settings: Settings) -> set[str]:
    with open_serving_store(settings).connect() as connection:
        rows = connection.execute("select nspname from pg_namespace where nspname ~ '__r'")
        return {name for (name,) in rows}


def test_release_holds_every_mart_as_it_was_built(installation: Settings) -> None:
    report = release(installation, "household")

    marts = duckdb.connect(installation.warehouse_path, read_only=True)
    tables = marts.sql("select table_name from duckdb_tables where schema_name like '%marts'")
    names = sorted(name for (name,) in tables.fetchall())
    assert len(names) == report.tables > 0
    with open_serving_store(installation).connect() as connection:
        for name in names:
            built = marts.sql(f"select * from warehouse_marts.{name}")
            served = connection.execute(f"select * from household__r1.{name}")
            assert [c[0] for c in built.description] == [c.name for c in served.description]
            assert sorted(map(str, built.fetchall())) == sorted(map(str, served.fetchall())), name
            parquet = installation.releases_dir / "household" / "current" / f"{name}.parquet"
            kept = duckdb.read_parquet(str(parquet))
            assert kept.shape[0] == built.shape[0]
            assert kept.types == built.types
        keys = connection.execute(
            "select count(*) from pg_index join pg_class on indrelid = pg_class.oid "
            "where indisprimary and relnamespace = 'household__r1'::regnamespace"
        ).fetchone()
        assert keys == (len(names),)
        books = connection.execute("select * from release.releases").fetchall()
        assert len(books) == 1
        assert books[0][:2] == ("household", 1)
        assert books[0][6] == report.rows
    with open_serving_store(installation).connect_reader() as reader:
        carried = reader.execute("select mart, contract::text from release.contracts order by mart")
        contracts = {mart: read_contract(text) for mart, text in carried}
        assert list(contracts) == names
        for name in names:
            served = reader.execute(f"select * from household__r1.{name}")
            columns = [column.name for column in contracts[name].columns]
            assert columns == [column.name for column in served.description]
        assert contracts["hh_summary"].key == ("household_key",)
        assert contracts["hh_summary"].description.startswith("One row per household")


def test_a_release_carries_what_its_build_knew_of_its_data(installation: Settings) -> None:
    release(installation, "household")
    record = read_record(installation, "household")
    assert record is not None
    assert record.quality is not None
    build_again(installation, quality=record.quality.model_copy(update={"datasets": ()}))
    release(installation, "household")
    with open_serving_store(installation).connect_reader() as reader:
        rows = reader.execute("select number, quality::text from release.quality order by 1")
        first, second = (Quality.model_validate_json(text) for _, text in rows)
        landed = reader.execute("select sum(lines) from household__r1.household_cleaning_report")
        lines = landed.fetchone()
    assert (first, second.datasets) == (record.quality, ())
    # Files that landed, not what a build made of them.
    loads = {one.dataset: one for one in first.datasets}
    assert len(loads) == 8
    assert lines == (loads["transaction_data"].rows_landed,)
    assert all(one.rows_read == one.rows_landed + one.rows_rejected for one in loads.values())
    run = json.loads((target_dir(installation) / "run_results.json").read_text())
    names = {result["unique_id"].split(".")[2] for result in run["results"]}
    assert {test.name for test in second.tests} <= names
    assert {test.status for test in second.tests} == {"passed"}
    assert sum(test.model == "household_rfm" for test in second.tests) > 5


def test_same_build_is_not_released_twice(installation: Settings) -> None:
    assert release(installation, "household").is_new
    assert not release(installation, "household").is_new
    assert current(installation) == 1


def test_last_three_releases_stay_and_rollback_goes_between_them(installation: Settings) -> None:
    for _ in range(5):
        release(installation, "household")
        build_again(installation)
    assert current(installation) == 5
    assert schemas(installation) == {"household__r3", "household__r4", "household__r5"}
    folder = installation.releases_dir / "household"
    assert {path.name for path in folder.iterdir()} == {"r3", "r4", "r5", "current"}
    with open_serving_store(installation).connect() as connection:
        for table in ("contracts", "quality", "row_counts"):
            carried = connection.execute(f"select distinct number from release.{table} order by 1")
            assert carried.fetchall() == [(3,), (4,), (5,)]

    assert rollback(installation, "household").number == 4
    assert rollback(installation, "household").number == 3
    assert (folder / "current").readlink().name == "r3"
    with pytest.raises(ReleaseError, match=r"An earlier release .* 3 is served.* 5, 4"):
        rollback(installation, "household")
    with pytest.raises(ReleaseError, match="Release 1 of household is not there"):
        rollback(installation, "household", to=1)


def test_webhooks_are_told_of_release_and_rollback_and_hold_up_neither(released: Settings) -> None:
    with receiving() as receiver:
        told = receiver.settings(released)
        receiver.answers.clear()
        build_again(told)
        assert release(told, "household").number == 2
        with open_serving_store(released).connect() as connection:
            # As a version did that did not note them.
            connection.execute("delete from release.row_counts where number = 1")
        assert rollback(told, "household").number == 1
        # Both are over, and the receiver has not even answered the first message.
        assert [one.number for one in receiver.wait(1)] == [2]
        receiver.answers.set()
        release(told, "household")
        first, second = (one.document for one in receiver.wait(2))
    assert (first["type"], second["type"]) == ("release.published", "release.rolled_back")
    with open_serving_store(released).connect() as connection:
        for document, number in ((first, 2), (second, 1)):
            data = document["data"]
            (rows,) = [
                row.rows
                for row in read_releases(connection, "household")
                if row.number == number == data["number"]
            ]
            assert data["rows"] == rows == sum(data["marts"].values())
            counted = connection.execute(
                f"select count(*) from household__r{number}.products"
            ).fetchone()
            assert counted == (data["marts"]["products"],)


def test_views_for_people_follow_the_switch(released: Settings) -> None:
    with open_serving_store(released).connect() as connection:
        connection.execute("delete from household__r1.hh_summary")
    with open_serving_store(released).connect_reader() as reader:
        assert reader.execute("select count(*) from household.hh_summary").fetchone() == (0,)
    build_again(released)
    release(released, "household")
    with open_serving_store(released).connect_reader() as reader:
        row = reader.execute("select count(*) from household.hh_summary").fetchone()
        assert row is not None
        assert row[0] > 0


def test_views_in_use_do_not_hold_up_a_release(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.release.views.LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr("orchestration.release.views.TRIES", 1)
    build_again(released)
    with open_serving_store(released).connect_reader() as reader, reader.transaction():
        reader.execute("select * from household.hh_summary limit 1")
        report = release(released, "household")
    assert report.number == 2
    assert current(released) == 2
    assert any("views" in note for note in report.notes)


def test_reader_can_read_releases_and_nothing_else(released: Settings) -> None:
    store = open_serving_store(released)
    with store.connect() as connection:
        connection.execute("create schema private; create table private.secret (x integer)")
    with store.connect_reader() as reader:
        assert reader.execute("select number from release.current").fetchone() == (1,)
        assert reader.execute("select count(*) from household__r1.products").fetchone()
        # Beyond what the session itself promises, the role may not.
        reader.execute("set default_transaction_read_only = off")
        for statement in (
            "select * from private.secret",
            "delete from release.current",
            "delete from household__r1.products",
            "drop table household__r1.products",
            "create schema mine",
            "create table public.mine (x integer)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "running"}, "did not end"),
        ({"status": "failed", "failures": ("test.pollux.assert_x",)}, r"failed \(assert_x\)"),
        ({"engine": "postgres"}, "last built by engine postgres"),
    ],
)
def test_only_a_build_that_passed_is_released(
    released: Settings, change: dict[str, object], message: str
) -> None:
    build_again(released, **change)
    with pytest.raises(ReleaseError, match=message):
        release(released, "household")
    assert current(released) == 1


def test_nothing_built_is_nothing_released(built: Settings) -> None:
    with pytest.raises(ReleaseError, match="run pollux build --domain customer"):
        release(built, "customer")


def test_missing_rows_are_found_before_the_switch(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_again(released)
    monkeypatch.setattr(DuckDBMarts, "count", lambda _self, _table: 1_000_000)
    with pytest.raises(ReleaseError, match="nothing was switched"):
        release(released, "household")
    assert current(released) == 1
    assert schemas(released) == {"household__r1"}


def test_two_keys_alike_are_found_before_the_switch(released: Settings) -> None:
    with duckdb.connect(released.warehouse_path) as warehouse:
        for statement in (
            "create table copied as from warehouse_marts.products",
            "drop table warehouse_marts.products",
            "create table warehouse_marts.products as from copied",
            "insert into warehouse_marts.products from copied limit 1",
        ):
            warehouse.execute(statement).fetchall()
    build_again(released)
    with pytest.raises(ReleaseError, match=r"key of products \(product_id\) has duplicates"):
        release(released, "household")
    assert current(released) == 1


def test_marts_that_another_dbt_run_made_are_not_released(installation: Settings) -> None:
    with duckdb.connect(installation.warehouse_path) as warehouse:
        warehouse.execute("comment on table warehouse_marts.products is 'a bare dbt run'")
    with pytest.raises(ReleaseError, match="products was built by another dbt run"):
        release(installation, "household")


def test_rollback_is_not_undone_by_the_next_release(released: Settings) -> None:
    build_again(released)
    release(released, "household")
    rollback(released, "household")
    report = release(released, "household")
    assert not report.is_new
    assert "pollux rollback household --to 2" in report.notes[0]
    assert current(released) == 1


def test_what_follows_the_switch_is_made_up_for(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the switch and what follows it."""
    build_again(released)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "follow_switch", lambda *_: ())
        release(released, "household")
    link = released.releases_dir / "household" / "current"
    assert (current(released), link.readlink().name) == (2, "r1")
    release(released, "household")
    assert link.readlink().name == "r2"
    with open_serving_store(released).connect() as connection:
        definition = connection.execute(
            "select pg_get_viewdef('household.hh_summary'::regclass)"
        ).fetchone()
    assert "household__r2" in definition[0]


def test_release_killed_just_before_the_switch_is_made_again(
    released: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables are there for good, and in no book."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    build_again(released)
    with monkeypatch.context() as patch:
        patch.setattr(publish.registry, "enter", killed)
        with pytest.raises(KeyboardInterrupt):
            release(released, "household")
    assert current(released) == 1
    assert schemas(released) == {"household__r1", "household__r2"}
    assert release(released, "household").number == 2
    assert current(released) == 2


def test_views_of_others_are_left_alone_and_hold_up_nothing(released: Settings) -> None:
    with open_serving_store(released).connect() as connection:
        connection.execute(
            "create view household.mine as select count(*) as n from household.hh_summary"
        )
        before = connection.execute("select n from household.mine").fetchone()
    for _ in range(4):
        build_again(released)
        report = release(released, "household")
        assert "views" in report.notes[0]
    assert current(released) == 5
    assert schemas(released) == {f"household__r{n}" for n in (1, 3, 4, 5)}
    link = released.releases_dir / "household" / "current"
    assert link.readlink().name == "r5"
    with open_serving_store(released).connect() as connection:
        assert connection.execute("select n from household.mine").fetchone() == before
        connection.execute("drop view household.mine")
    release(released, "household")
    assert schemas(released) == {f"household__r{n}" for n in (3, 4, 5)}


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_server_that_goes_during_a_release(
    released: Settings, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_again(released)
    embedded = open_serving_store(released).embedded
    assert embedded is not None

    def go(table: str) -> None:
        if table == "hh_summary":
            embedded.stop() if how == "stopped" else embedded.kill()

    with pytest.raises(ReleaseError, match="see pollux status, and run pollux release again"):
        release(released, "household", progress=go)

    assert current(released) == 1
    assert release(released, "household").number == 2
    assert current(released) == 2


def test_no_reader_sees_an_error_or_a_mixture_during_switches(released: Settings) -> None:
    """Every table of release n is marked n; a reader joins two of them all the while."""
    store = open_serving_store(released)
    stop = threading.Event()
    seen: list[tuple[int, int, int]] = []
    errors: list[BaseException] = []

    def mark(number: int) -> None:
        with store.connect() as connection:
            for table in ("household_rfm", "household_weekly_sales"):
                connection.execute(f"update household__r{number}.{table} set baskets = {number}")

    def read() -> None:
        try:
            with store.connect_reader() as reader:
                while not stop.is_set():
                    row = reader.execute("select number from release.current").fetchone()
                    assert row is not None
                    found = reader.execute(
                        f"select min(rfm.baskets), max(weekly.baskets) "
                        f"from household__r{row[0]}.household_rfm as rfm "
                        f"join household__r{row[0]}.household_weekly_sales as weekly "
                        "using (household_key)"
                    ).fetchone()
                    assert found is not None
                    seen.append((row[0], *found))
        except BaseException as error:
            errors.append(error)

    def wait_for(more: int) -> None:
        enough = len(seen) + more
        while len(seen) < enough and not errors:
            time.sleep(0.01)

    mark(1)
    original = publish.registry.switch

    def marked_switch(connection: psycopg.Connection, domain: str, number: int) -> None:
        for table in ("household_rfm", "household_weekly_sales"):
            connection.execute(f"update household__r{number}.{table} set baskets = {number}")
        original(connection, domain, number)

    readers = [threading.Thread(target=read) for _ in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish.registry, "switch", marked_switch)
        for reader in readers:
            reader.start()
        for _ in range(4):
            build_again(released)
            release(released, "household")
            wait_for(20)
        rollback(released, "household")
        wait_for(20)
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert {number for number, _, _ in seen} == {1, 2, 3, 4, 5}
    assert all(number == rfm == weekly for number, rfm, weekly in seen)


def test_release_and_rollback_by_command(installation: Settings, pollux) -> None:
    assert pollux(installation, "release").returncode == 0
    build_again(installation)
    done = pollux(installation, "release", "--domain", "household", "--json")
    assert json.loads(done.stdout)[0]["number"] == 2
    done = pollux(installation, "rollback", "household")
    assert done.returncode == 0
    assert "serves release 1 again" in done.stderr
    done = pollux(installation, "rollback", "household", "--to", "9")
    assert done.returncode == 5
    assert "Release 9 of household is not there" in done.stderr
    assert "Traceback" not in done.stderr
    status = json.loads(pollux(installation, "status", "--json").stdout)
    assert [r["number"] for r in status["releases"] if r["is_current"]] == [1]
    done = pollux(installation, "query", "select count(*) as n from hh_summary", "--format", "csv")
    assert done.stdout.splitlines()[0] == "n"
    assert int(done.stdout.splitlines()[1]) > 0
    for statement, message in [
        ("delete from release.current", "cannot execute DELETE in a read-only transaction"),
        ("selec 1", "syntax error"),
        ("select * from nowhere", 'relation "nowhere" does not exist'),
        ("set role postgres", "permission denied"),
    ]:
        done = pollux(installation, "query", statement)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
