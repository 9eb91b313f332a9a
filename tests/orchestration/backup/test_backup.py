"""A backup made while things change, restored elsewhere: every file, row and view is there."""

import json
import shutil
import threading
import uuid
from pathlib import Path

import duckdb
import psycopg
import pytest

from orchestration.backup.contents import BackupError
from orchestration.backup.create import back_up
from orchestration.backup.restore import restore
from orchestration.load import landing
from orchestration.load.events import land_events
from orchestration.release.follow import find_differences
from orchestration.release.publish import release, rollback
from orchestration.release.registry import current_number
from pollux.runtime.keys import (
    KeyScope,
    add_key,
    keys_file,
    last_used,
    note_use,
    read_keys,
)
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.events.database.migrate import migrate
from tests.support.builds import build_again
from tests.support.kills import kill_at, steps_of

pytestmark = pytest.mark.integration

EVENT = "insert into events.loyalty_list (event_key, line, email) values (%s, 1, %s)"


@pytest.fixture
def serving(released: Settings) -> Settings:
    """An installation with two releases, the first one served, and events, some landed."""
    build_again(released)
    release(released, "household")
    rollback(released, "household")
    with open_serving_store(released).connect() as connection:
        migrate(connection)
        add_events(connection, 3)
    assert sum(land_events(released).values()) == 3
    with open_serving_store(released).connect() as connection:
        add_events(connection, 2)
    model = released.data_dir / "models" / "propensity" / "m1"
    model.mkdir(parents=True)
    (model / "model.txt").write_text("a model")
    (model.parent / "current").symlink_to("m1")
    return released


@pytest.fixture
def elsewhere(short_tmp: Path, request: pytest.FixtureRequest) -> Settings:
    return Settings(data_dir=short_tmp / f"r{abs(hash(request.node.nodeid)) % 10**8}")


def add_events(connection: psycopg.Connection, count: int) -> None:
    for _ in range(count):
        key = uuid.uuid4()
        connection.execute(EVENT, [key, f"{key}@example.org"])
    connection.commit()


def all_rows(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table, read one by one."""
    with open_serving_store(settings).connect() as connection:
        names = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables "
            "where schemaname ~ '__r[0-9]+$' or schemaname in ('events', 'release') order by 1"
        ).fetchall()
        return {
            name: sorted(map(str, connection.execute(f"select * from {name}").fetchall()))
            for (name,) in names
        }


def all_files(settings: Settings) -> dict[str, bytes]:
    return {
        str(path.relative_to(settings.data_dir)): path.read_bytes()
        for name in ("landing", "models", "releases")
        for path in (settings.data_dir / name).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def followed(settings: Settings) -> list[tuple[str, int]]:
    """The releases that live rows follow."""
    with open_serving_store(settings).connect() as connection:
        return connection.execute("select domain, release from live.followed").fetchall()


def assert_equal(restored: Settings, original: Settings) -> None:
    assert all_rows(restored) == all_rows(original)
    assert all_files(restored) == all_files(original)
    for link in ("releases/household/current", "models/propensity/current"):
        assert (restored.data_dir / link).readlink() == (original.data_dir / link).readlink()
    assert landing.fingerprint(restored, "household") == landing.fingerprint(original, "household")
    with open_serving_store(restored).connect() as connection:
        number = current_number(connection, "household")
        assert number == 1
        assert find_differences(restored, connection, "household", number) == ()
    with open_serving_store(restored).connect_reader() as reader:
        assert reader.execute("select count(*) > 0 from household.products").fetchone() == (True,)
        assert reader.execute("select count(*) > 0 from household__r2.products").fetchone()


def test_restored_installation_is_equal_and_goes_on(
    serving: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    add_key(serving, "app", [KeyScope.SCORE])
    note_use(keys_file(serving), "app")
    made = back_up(serving, tmp_path / "backup")
    report = restore(elsewhere, tmp_path / "backup")
    assert read_keys(keys_file(elsewhere)) == read_keys(keys_file(serving))
    assert last_used(keys_file(elsewhere), "app") == last_used(keys_file(serving), "app")
    assert (report.files, report.tables, report.rows) == (made.files, made.tables, made.rows)
    assert report.notes == ()
    assert_equal(elsewhere, serving)
    assert followed(elsewhere) == followed(serving) == [("household", 1)]
    assert not (elsewhere.data_dir / ".restore").exists()
    assert not (serving.data_dir / ".backup").exists()
    # What had landed is not landed again, what had not is.
    assert sum(land_events(elsewhere).values()) == 2


def test_backup_beside_events_and_loads_is_of_one_moment(
    serving: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    """Events come and land all the while: the copy lands on from where its landing zone is."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with open_serving_store(serving).connect() as connection:
                while not stop.is_set():
                    add_events(connection, 5)
                    land_events(serving)
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        back_up(serving, tmp_path / "backup")
    finally:
        stop.set()
        writer.join()
    assert failed == []
    restore(elsewhere, tmp_path / "backup")
    land_events(elsewhere)
    with open_serving_store(elsewhere).connect() as connection:
        rows = connection.execute("select count(*) from events.loyalty_list").fetchone()
    landed = landed_numbers(elsewhere)
    assert rows is not None
    assert len(landed) == len(set(landed)) == rows[0]


def landed_numbers(settings: Settings) -> list[int]:
    """The numbers of the loyalty list's rows in the landing zone."""
    folders = {p.parent for p in settings.landing_dir.rglob("*.parquet")}
    (folder,) = [f for f in folders if f.parent.name == "events" and "loyalty_list" in f.name]
    files = [str(p) for p in folder.glob("*.parquet") if not p.name.startswith("_empty")]
    rows = duckdb.sql(f"select number from read_parquet({files}, hive_partitioning = false)")
    return [number for (number,) in rows.fetchall()]


@pytest.mark.endurance
def test_backup_killed_at_every_step_leaves_no_backup(serving: Settings, tmp_path: Path) -> None:
    steps = steps_of("backup")
    assert len(steps) == 4
    for number, step in enumerate(steps):
        target = tmp_path / f"b{number}"
        kill_at(step, back_up, serving, target)
        with pytest.raises(BackupError, match="is not a backup, or one that was not finished"):
            restore(serving, target)
        again = tmp_path / f"again{number}"
        back_up(serving, again)
        assert (again / "backup.json").exists()


@pytest.mark.endurance
def test_restore_killed_at_every_step_is_done_again(
    serving: Settings, short_tmp: Path, tmp_path: Path
) -> None:
    back_up(serving, tmp_path / "backup")
    steps = [*steps_of("restore"), "restore.folder_named:2"]
    assert len(steps) == 6
    for number, step in enumerate(steps):
        elsewhere = Settings(data_dir=short_tmp / f"k{number}{abs(hash(str(tmp_path))) % 10**6}")
        kill_at(step, restore, elsewhere, tmp_path / "backup")
        restore(elsewhere, tmp_path / "backup")
        assert_equal(elsewhere, serving)
        embedded = open_serving_store(elsewhere).embedded
        assert embedded is not None
        embedded.stop()


def test_restore_refuses_what_it_would_overwrite(
    serving: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    back_up(serving, tmp_path / "backup")
    with pytest.raises(BackupError, match=r"holds landing, models, releases already"):
        restore(serving, tmp_path / "backup")
    with open_serving_store(elsewhere).connect() as connection:
        migrate(connection)
    with pytest.raises(BackupError, match=r"The database holds erasure, events already"):
        restore(elsewhere, tmp_path / "backup")
    with pytest.raises(BackupError, match="is not an empty folder"):
        back_up(serving, tmp_path / "backup")
    with pytest.raises(BackupError, match="is in the data folder"):
        back_up(serving, serving.data_dir / "backup")


def test_damaged_backup_is_refused(serving: Settings, elsewhere: Settings, tmp_path: Path) -> None:
    back_up(serving, tmp_path / "backup")
    part = next((tmp_path / "backup" / "landing").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    with pytest.raises(BackupError, match=r"is damaged: 1 files differ \(landing/"):
        restore(elsewhere, tmp_path / "backup")
    assert not elsewhere.landing_dir.exists()
    contents = json.loads((tmp_path / "backup" / "backup.json").read_text())
    (tmp_path / "backup" / "backup.json").write_text(json.dumps(contents | {"format": 9}))
    with pytest.raises(BackupError, match="is a backup of format 9"):
        restore(elsewhere, tmp_path / "backup")


def test_by_command(serving: Settings, elsewhere: Settings, tmp_path: Path, pollux) -> None:
    done = pollux(serving, "backup", str(tmp_path / "backup"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"] > 20
    done = pollux(elsewhere, "restore", str(tmp_path / "backup"))
    assert done.returncode == 0, done.stderr
    assert "equal to the backup of" in " ".join(done.stderr.split())
    done = pollux(elsewhere, "restore", str(tmp_path))
    assert done.returncode == 1
    assert "is not a backup" in " ".join(done.stderr.split())
    shutil.rmtree(tmp_path / "backup")
