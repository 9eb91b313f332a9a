"""A bad file in the inbox is set aside alone; the others land."""

import errno
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from orchestration.load import disk, inbox, landing, run
from orchestration.load import take as take_module
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.take import take_inbox
from tests.orchestration.load.conftest import BEFORE, HEADER, Shop, numbered
from tests.orchestration.load.test_choose import ODD_NAMES
from tests.support.kills import is_killed_at, start, steps_of, wait_until_paused


class Inbox(Shop):
    """A shop whose files come by the inbox. `last` is behind every odd file, and good."""

    def __init__(self, folder):
        super().__init__(folder)
        self.drop = self.settings.inbox_dir / "shop"
        self.drop.mkdir(parents=True)

    def put(self, name, content=BEFORE):
        path = self.drop / name
        path.write_bytes(content)
        return path

    def take(self, **more):
        return take_inbox(self.settings, "shop", project_dir=self.folder, **more)

    def left(self):
        """What is still in the inbox, hidden files too."""
        return sorted(str(path.relative_to(self.drop)) for path in self.drop.rglob("*"))

    def kept(self):
        return sorted(path.name for path in (self.settings.inbox_dir / "loaded" / "shop").glob("*"))

    def aside(self):
        """What was set aside, with the reason told of each."""
        folder = self.settings.inbox_dir / "failed" / "shop"
        return {
            path.name[16:]: Path(f"{path}.reason.txt").read_text(encoding="utf-8")
            for path in sorted(folder.glob("*"))
            if not path.name.endswith(".reason.txt")
        }

    def ids(self):
        return [row[0] for row in self.rows()]


@pytest.fixture
def shop(tmp_path):
    return Inbox(tmp_path)


@pytest.fixture
def last(shop):
    return shop.put("sales-zz-last.csv", HEADER + numbered(1, 99))


def check_only_it_is_aside(shop, taken, reason):
    """One file was set aside and told of, the one behind it landed."""
    (said,) = taken.broken
    assert reason in said
    assert "It was moved to " in said
    ((_, told),) = shop.aside().items()
    assert reason in told
    assert told.isprintable() or told.count("\n") >= 1
    assert shop.kept() == ["sales-zz-last.csv"]
    assert 99 in shop.ids()
    assert shop.left() == []
    rejects = list(shop.settings.rejects_dir.rglob("*.csv"))
    assert len(rejects) == 1


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_file_lands_whatever_its_name_and_the_next_does(shop, last, name):
    content = HEADER + numbered(3)
    shop.put(name, content)
    taken = shop.take()
    if name.startswith("sales"):
        assert taken.broken == []
        assert shop.ids() == [1, 2, 3, 99]
        # By its own name, byte by byte.
        assert (shop.settings.inbox_dir / "loaded" / "shop" / name).read_bytes() == content
        assert all(text.isprintable() for text in taken.notes)
        assert all(file.file.isprintable() for file in taken.files)
        assert shop.left() == []
    else:
        check_only_it_is_aside(shop, taken, "matches no pattern")


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_broken_file_is_set_aside_whatever_its_name(shop, last, name):
    shop.put(name, b"")
    taken = shop.take()
    check_only_it_is_aside(shop, taken, "is empty" if name.startswith("sales") else "no pattern")


def a_link(to):
    return lambda path: path.symlink_to(to)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory() as short:
        listener.bind(f"{short}/s")
        shutil.move(f"{short}/s", path)


def a_folder(path):
    path.mkdir()
    (path / "part-0.csv").write_bytes(BEFORE)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_link("/etc/passwd"), "is a link to /etc/passwd; copy the file itself"),
        (a_link("/dev/zero"), "is a link to /dev/zero"),
        (a_link("gone"), "is a link to gone"),
        (a_link("sales-zz-last.csv"), "is a link to sales-zz-last.csv"),
        (a_link("sales-odd.csv"), "is a link to sales-odd.csv"),
        (os.mkfifo, "is a pipe, not a file; the inbox takes files"),
        (a_socket, "is a socket, not a file"),
        (a_folder, "is a folder, not a file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\0" * 999), "is not text but binary"),
        (lambda path: path.write_bytes(b"id\n1\n"), "lacks columns name, amount"),
    ],
)
def test_what_cannot_be_loaded_is_set_aside(shop, last, make, reason):
    if make is a_socket and Path(tempfile.gettempdir()).stat().st_dev != shop.drop.stat().st_dev:
        pytest.skip("a socket cannot be moved here")
    make(shop.drop / "sales-odd.csv")
    check_only_it_is_aside(shop, shop.take(), reason)


def test_an_editors_backup_is_set_aside(shop, last):
    shop.put("sales.csv~")
    check_only_it_is_aside(shop, shop.take(), "is an editor's backup")


def test_an_empty_file_of_a_known_name_is_set_aside(shop, last):
    shop.load(HEADER + numbered(3))
    shop.put("sales.csv", HEADER)
    check_only_it_is_aside(shop, shop.take(), "holds no row that lands, but 3 landed")
    assert shop.ids() == [1, 2, 3, 99]


def test_an_unreadable_file_is_set_aside(shop, last, monkeypatch):
    def refuse(path):
        if "odd" in path.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    real = run.content_sha256
    monkeypatch.setattr(run, "content_sha256", refuse)
    shop.put("sales-odd.csv")
    check_only_it_is_aside(shop, shop.take(), "sales-odd.csv cannot be read: Permission denied")


def test_a_file_that_no_code_expects_is_set_aside(shop, last, monkeypatch):
    def fail(job):
        if "odd" in job.file.name:
            raise RecursionError("too deep")
        return real(job)

    real = run.convert
    monkeypatch.setattr(run, "convert", fail)
    shop.put("sales-odd.csv")
    check_only_it_is_aside(shop, shop.take(), "RecursionError: too deep. This is a fault of the")


def test_a_twin_is_named_and_not_counted(shop):
    shop.put("sales.csv")
    shop.put("sales (1).csv")
    taken = shop.take()
    assert taken.broken == []
    # In the inbox files come one by one, so the first keeps its name.
    assert "sales.csv holds the same as sales (1).csv" in taken.notes[0]
    assert shop.ids() == [7]
    assert shop.kept() == ["sales (1).csv", "sales.csv"]


def test_two_broken_files_of_one_name_are_both_kept(shop):
    for content in (b"", b"\0" * 99):
        shop.put("sales.csv", content)
        shop.take()
    folder = shop.settings.inbox_dir / "failed" / "shop"
    found = list(folder.glob("*.csv"))
    assert sorted(path.stat().st_size for path in found) == [0, 99]


def test_files_of_datasets_not_wanted_stay(shop):
    shop.put("sales.csv")
    shop.put("a.txt", b"x\n")
    taken = shop.take(is_wanted=lambda dataset: dataset.name == "notes")
    assert [file.dataset for file in taken.files] == ["notes"]
    assert shop.left() == ["sales.csv"]


# --- versions ---


def test_a_version_that_comes_while_the_old_one_loads_waits_for_its_turn(shop, last):
    shop.put("sales.csv", HEADER + numbered(3))
    taking = start(
        "pause:load.staged:2", take_inbox, shop.settings, "shop", project_dir=shop.folder
    )
    wait_until_paused(taking)
    new = shop.folder / "new.csv"
    new.write_bytes(HEADER + numbered(2, 50))
    new.replace(shop.drop / "sales.csv")
    os.kill(taking.pid, signal.SIGCONT)
    taking.join()
    assert taking.exitcode == 0
    assert shop.ids() == [1, 2, 3, 99]
    assert shop.left() == ["sales.csv"]
    assert shop.aside() == {}
    shop.take()
    assert shop.ids() == [50, 51, 99]
    assert (shop.settings.inbox_dir / "loaded/shop/sales.csv").read_bytes() == (
        HEADER + numbered(2, 50)
    )


def test_a_file_that_grows_while_it_is_read_waits_for_the_next_run(shop, last, monkeypatch):
    def grow(job):
        if job.file.name == "sales.csv" and not grown:
            grown.append(True)
            with job.source.open("ab") as file:
                file.write(numbered(1, 4))
        return real(job)

    grown = []
    real = run.convert
    monkeypatch.setattr(run, "convert", grow)
    shop.put("sales.csv", HEADER + numbered(3))
    taken = shop.take()
    assert taken.broken == []
    assert taken.notes == ["sales.csv is still being written; it waits for the next run"]
    assert shop.ids() == [99]
    # The sensor asks for it again, and a version that came meanwhile waits behind it.
    (waiting,) = inbox.waiting(shop.settings, "shop")
    assert waiting.is_taken
    shop.put("sales.csv", HEADER + numbered(1, 60))
    shop.take()
    assert shop.ids() == [60, 99]
    assert shop.left() == []


def test_a_file_that_vanishes_is_nobodys_fault(shop, last, monkeypatch):
    def vanish(file):
        if file.path.name == "sales.csv":
            file.path.unlink()
        return real(file)

    real = inbox.take
    monkeypatch.setattr(inbox, "take", vanish)
    shop.put("sales.csv")
    taken = shop.take()
    assert taken.broken == []
    assert shop.ids() == [99]


# --- disks ---


def test_an_inbox_on_another_disk(shop):
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == shop.drop.stat().st_dev:
        pytest.skip("there is no other disk")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        shop.drop.rmdir()
        shop.drop.symlink_to(folder)
        shop.put("sales.csv", HEADER + numbered(3))
        shop.put("sales-bad.csv", b"")
        shop.put("sales-zz.csv", HEADER + numbered(1, 99))
        a_folder(shop.drop / "sales-folder.csv")
        (shop.drop / "sales-link.csv").symlink_to("/etc/passwd")
        taken = shop.take()
        assert shop.ids() == [1, 2, 3, 99]
        assert shop.kept() == ["sales-zz.csv", "sales.csv"]
        assert sorted(shop.aside()) == ["sales-bad.csv", "sales-folder.csv", "sales-link.csv"]
        assert len(taken.broken) == 3
        assert list(Path(folder).iterdir()) == []
        # And there is nothing to do for the next run.
        assert shop.take() == take_module.Taken()


def refusing(monkeypatch, module, word, code):
    def move(source, target):
        if word in str(target):
            raise OSError(code, os.strerror(code), str(target))
        disk.move(source, target)

    monkeypatch.setattr(module, "move", move)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_has_landed_but_cannot_be_moved_is_moved_by_the_next_run(shop, monkeypatch, code):
    shop.put("sales.csv", HEADER + numbered(3))
    shop.put("sales-zz-last.csv", HEADER + numbered(1, 99))
    refusing(monkeypatch, inbox, "sales.csv", code)
    taken = shop.take()
    assert shop.ids() == [1, 2, 3, 99]
    (said,) = taken.broken
    assert said == (
        f"sales.csv has landed, but cannot be moved to {shop.settings.inbox_dir}/loaded: "
        f"{os.strerror(code)}. The next run moves it"
    )
    monkeypatch.undo()
    taken = shop.take()
    assert [file.outcome for file in taken.files] == ["unchanged"]
    assert shop.kept() == ["sales-zz-last.csv", "sales.csv"]


def test_what_cannot_be_set_aside_stays_and_is_told(shop, last, monkeypatch):
    shop.put("sales-odd.csv", b"")
    refusing(monkeypatch, inbox, "odd", errno.ENOSPC)
    (said,) = shop.take().broken
    assert said.endswith(
        f"It cannot be moved aside (No space left on device) and stays at {shop.drop}/.taken/"
        "sales-odd.csv."
    )
    assert shop.ids() == [99]
    monkeypatch.undo()
    shop.take()
    assert list(shop.aside()) == ["sales-odd.csv"]


def test_an_inbox_that_may_not_be_changed_is_named(shop, last, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    (said,) = shop.take().broken
    assert said == (
        f"{last} cannot be taken from the inbox: Read-only file system. It stays there; let "
        "Pollux move files in that folder"
    )
    assert shop.left() == ["sales-zz-last.csv"]


def test_a_full_disk_sets_nothing_aside(shop, last, monkeypatch):
    def full(job):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.part))

    monkeypatch.setattr(run, "convert", full)
    with pytest.raises(LandingError, match=r"cannot write .*part: No space left on device"):
        shop.take()
    assert shop.aside() == {}
    monkeypatch.undo()
    shop.take()
    assert shop.ids() == [99]


def test_an_inbox_that_is_no_folder_is_named(shop):
    shop.drop.rmdir()
    shop.drop.write_text("x")
    with pytest.raises(LoadError, match=r"inbox/shop cannot be read: Not a directory"):
        shop.take()


# --- killed ---


@pytest.mark.parametrize("step", steps_of("inbox"))
def test_killed_at_a_step_no_file_is_lost_or_counted_twice(shop, last, step):
    shop.put("sales-bad.csv", b"")
    shop.put("sales-m.csv", HEADER + numbered(3))
    taking = (take_inbox, shop.settings, "shop")
    assert is_killed_at(step, *taking, project_dir=shop.folder)
    # A newer version came while nobody worked.
    shop.put("sales-m.csv", HEADER + numbered(4))
    for _ in range(2):
        shop.take()
    assert shop.ids() == [1, 2, 3, 4, 99]
    assert list(shop.aside()) == ["sales-bad.csv"]
    assert shop.kept() == ["sales-m.csv", "sales-zz-last.csv"]
    assert shop.left() == []
    assert (shop.settings.inbox_dir / "loaded/shop/sales-m.csv").read_bytes() == (
        HEADER + numbered(4)
    )


def test_two_that_take_one_inbox(shop, last):
    taking = start("pause:inbox.taken", take_inbox, shop.settings, "shop", project_dir=shop.folder)
    wait_until_paused(taking)
    hasty = shop.settings.model_copy(update={"lock_timeout_seconds": 0.1})
    with pytest.raises(LandingError, match="another process takes what waits in"):
        take_inbox(hasty, "shop", project_dir=shop.folder)
    os.kill(taking.pid, signal.SIGCONT)
    taking.join()
    assert shop.ids() == [99]
    assert len(landing.domain_parts(shop.settings, "shop")) == 1
