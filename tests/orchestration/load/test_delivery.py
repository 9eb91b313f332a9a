"""A delivery killed at any step is seen whole or not at all, and lands when loaded again."""

import errno
import os
import shutil
import signal
from pathlib import Path

import duckdb
import pytest

from orchestration.load import disk, journal, landing
from orchestration.load.counts import count_problems
from orchestration.load.declarations import read_datasets
from orchestration.load.errors import LandingError
from orchestration.load.load_log import read_load_log
from orchestration.load.run import load
from tests.orchestration.load.conftest import HEADER, Shop
from tests.support.kills import each_time, is_killed_at, start, steps_of, wait_until_paused

# Steps at which the journal is not yet in place.
UNCOMMITTED = ("load.staged", "load.journal_written")
# Of those that only a delivery that is finished later goes through.
FINISHING = ("load.removed", "load.moved", "load.placed", "load.logged", "load.finished")


def sales(version: int, rows: int, *, bad: bool = False) -> bytes:
    """Rows that say which version they are of; one row in 200 is none."""
    lines = [b"%d,version,%d\n" % (version, row) for row in range(rows)]
    return HEADER + b"".join(lines) + (b"x,version,0\n" if bad else b"")


class Deliveries:
    """A shop with an old delivery in it, and a new one beside it: one file each of what may be.

    `one` is replaced, and has no rejects any more; `two` is replaced, and has some now; `three`
    goes, as `--replace` asks; `four` is new; `same` stays as it is; of the notes all is new.
    """

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder)
        self.settings = self.shop.settings
        self.files = folder / "delivery"
        self.files.mkdir()
        self.write({"one": sales(1, 200, bad=True), "two": sales(1, 210), "three": sales(1, 5)})
        self.write({"same": sales(0, 3)})
        self.load()
        self.old = self.seen()
        self.kept = folder / "kept"
        shutil.copytree(self.settings.data_dir, self.kept)
        (self.files / "sales-three.csv").unlink()
        self.write({"one": sales(2, 205), "two": sales(2, 300, bad=True), "four": sales(2, 7)})
        (self.files / "all.txt").write_bytes(b"a\nb\n")
        self.load()
        self.new = self.seen()
        assert self.old != self.new
        self.back()

    def write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (self.files / f"sales-{name}.csv").write_bytes(content)

    def arguments(self):
        return {
            "domain": "shop", "from_": self.files, "replace": True, "project_dir": self.shop.folder
        }  # fmt: skip

    def load(self) -> None:
        load(self.settings, **self.arguments())

    def is_killed(self, at: str) -> bool:
        return is_killed_at(at, load, self.settings, **self.arguments())

    def back(self) -> None:
        """Puts the old delivery back, as if the new one had never been."""
        shutil.rmtree(self.settings.data_dir)
        shutil.copytree(self.kept, self.settings.data_dir)

    def rows(self):
        """What an engine reads, which knows nothing of journals."""
        folders = sorted((self.settings.landing_dir / "shop").iterdir())
        return {
            folder.name: duckdb.sql(f"FROM '{folder}/*.parquet' ORDER BY ALL").fetchall()
            for folder in folders
            if any(folder.iterdir())
        }

    def seen(self):
        """Parts as the landing zone tells them, rows as an engine reads them, rejects."""
        parts = [
            (p.dataset, p.name, p.rows_read) for p in landing.domain_parts(self.settings, "shop")
        ]
        rejects = {
            path.name: path.read_bytes() for path in self.settings.rejects_dir.rglob("*.csv")
        }
        return parts, self.rows(), rejects

    def check_whole(self, at: str) -> str:
        """Which of the two deliveries is there; fails where it is neither."""
        found = self.seen()
        assert found in (self.old, self.new), at
        assert not journal.is_open(self.settings)
        for dataset in read_datasets(self.shop.folder).values():
            assert count_problems(self.settings, dataset) == [], at
        return "old" if found == self.old else "new"

    def check_lands_again(self, at: str) -> None:
        self.load()
        assert self.check_whole(at) == "new", at
        assert list((self.settings.landing_dir / ".tmp").iterdir()) == []
        entries = [e for e in read_load_log(self.settings) if "delivery" in e]
        told = [(entry["delivery"], entry["dataset"], entry["part"]) for entry in entries]
        assert len(told) == len(set(told)), at


@pytest.fixture
def deliveries(tmp_path):
    return Deliveries(tmp_path)


@pytest.mark.parametrize("step", steps_of("load"))
def test_killed_at_a_step_a_delivery_is_whole(deliveries, step):
    found = []
    for at in each_time(step, deliveries.is_killed):
        found.append(deliveries.check_whole(at))
        deliveries.check_lands_again(at)
        deliveries.back()
    assert found
    assert set(found) == {"old" if step in UNCOMMITTED else "new"}


@pytest.mark.parametrize("step", FINISHING)
def test_killed_while_it_is_finished_a_delivery_is_whole(deliveries, step):
    found = []

    def attempt(at: str) -> bool:
        deliveries.back()
        assert deliveries.is_killed("load.journaled")
        return is_killed_at(at, landing.domain_parts, deliveries.settings, "shop")

    for at in each_time(step, attempt):
        # And once more, at the same place.
        is_killed_at(at, landing.domain_parts, deliveries.settings, "shop")
        found.append(deliveries.check_whole(at))
        deliveries.check_lands_again(at)
    assert set(found) == {"new"}


def test_nobody_reads_half_of_a_delivery_that_is_under_way(deliveries):
    loading = start("pause:load.moved:2", load, deliveries.settings, **deliveries.arguments())
    try:
        wait_until_paused(loading)
        hasty = deliveries.settings.model_copy(update={"lock_timeout_seconds": 0.1})
        for look in (landing.domain_parts, landing.fingerprint):
            with pytest.raises(LandingError, match=rf"is held by process {loading.pid} "):
                look(hasty, "shop")
    finally:
        os.kill(loading.pid, signal.SIGCONT)
    # It waits for the rest.
    assert deliveries.check_whole("under way") == "new"
    loading.join()


def test_a_data_folder_that_was_moved_is_finished_there(deliveries, tmp_path):
    assert deliveries.is_killed("load.moved:2")
    elsewhere = tmp_path / "elsewhere"
    deliveries.settings.data_dir.rename(elsewhere)
    deliveries.settings = deliveries.shop.settings = deliveries.settings.model_copy(
        update={"data_dir": elsewhere}
    )
    assert deliveries.check_whole("moved") == "new"


def failing_at(monkeypatch, number: int, code: int) -> None:
    """Lets the disk refuse the n-th move of a delivery, and all after it."""
    moves = []

    def move(source, target):
        moves.append(target)
        if len(moves) >= number:
            raise OSError(code, os.strerror(code), str(target))
        disk.move(source, target)

    monkeypatch.setattr(journal, "move", move)


@pytest.mark.parametrize("number", [1, 3])
def test_a_disk_that_is_full_in_the_middle_is_waited_for(deliveries, monkeypatch, number):
    failing_at(monkeypatch, number, errno.ENOSPC)
    with pytest.raises(LandingError) as caught:
        deliveries.load()
    text = str(caught.value)
    assert text.startswith(f"cannot write {deliveries.settings.data_dir}")
    assert text.endswith(
        "No space left on device; the delivery is complete all the same, and is put in place by "
        "the next command that can write there"
    )
    # Nobody reads half of it meanwhile.
    with pytest.raises(LandingError, match="No space left"):
        landing.domain_parts(deliveries.settings, "shop")
    with pytest.raises(LandingError, match="No space left"):
        deliveries.load()
    monkeypatch.undo()
    assert deliveries.check_whole("full") == "new"
    deliveries.check_lands_again("full")


def test_a_disk_that_is_full_before_the_journal_changes_nothing(deliveries, monkeypatch):
    def sync(path):
        if "delivery" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        disk.sync(path)

    monkeypatch.setattr(journal, "sync", sync)
    with pytest.raises(LandingError, match=r"cannot write .*No space left on device$"):
        deliveries.load()
    monkeypatch.undo()
    assert deliveries.check_whole("full") == "old"
    deliveries.check_lands_again("full")


def test_rejects_on_another_disk(deliveries, monkeypatch):
    """A rename across disks is refused; what is copied instead is seen whole."""
    replace = Path.replace

    def refuse(self, target):
        if deliveries.settings.rejects_dir in Path(target).parents and self.name != ".moving":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    deliveries.check_lands_again("another disk")


def test_a_journal_that_says_nothing_is_named(deliveries):
    path = deliveries.settings.landing_dir / ".delivery.json"
    path.write_text("{")
    with pytest.raises(LandingError, match=r"delivery.json, .*Move it away and load the delivery"):
        deliveries.load()
    path.unlink()
    assert deliveries.check_whole("moved away") == "old"


def test_a_journal_whose_files_are_gone_is_named(deliveries):
    assert deliveries.is_killed("load.moved")
    shutil.rmtree(deliveries.settings.landing_dir / ".tmp")
    with pytest.raises(LandingError, match=r"is gone\. Remove the journal and load the delivery"):
        landing.domain_parts(deliveries.settings, "shop")
    (deliveries.settings.landing_dir / ".delivery.json").unlink()
    deliveries.check_lands_again("journal removed")
