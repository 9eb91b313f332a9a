"""Which files a load takes: the files and pipes asked for, and no others."""

import os
import socket
import threading

import pytest

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.errors import LoadError
from tests.orchestration.load.conftest import BEFORE, HEADER, numbered, only


@pytest.fixture
def folder(shop):
    """A folder with a good file."""
    return shop.write(BEFORE).parent


def refused(shop, from_, match, **more):
    with pytest.raises(LoadError, match=match) as caught:
        shop.load(from_=from_, **more)
    assert landing.domain_parts(shop.settings, "shop") == []
    return str(caught.value)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/tty"])
def test_a_device_is_refused_at_once(shop, path):
    refused(shop, type(shop.folder)(path), f"{path} is a device; give a file", dataset="sales")


def test_a_link_to_a_device_is_refused_at_once(shop, folder):
    (folder / "sales-2.csv").symlink_to("/dev/zero")
    refused(shop, folder / "sales-2.csv", "sales-2.csv is a device; give a file")
    refused(shop, folder, "sales-2.csv is a device, not a file")


def test_a_pipe_that_was_asked_for_is_loaded(shop):
    path = shop.folder / "sales-pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[HEADER + numbered(3)])
    writer.start()
    report = only(shop.load(from_=path))
    writer.join()
    assert (report.part, report.rows_landed) == ("sales-pipe.csv", 3)
    assert report.bytes == len(HEADER + numbered(3))


def test_what_a_folder_holds_beside_files_is_refused_and_read_by_nobody(shop, folder):
    def pipe(path):
        os.mkfifo(path)

    def a_socket(path):
        with socket.socket(socket.AF_UNIX) as listener:
            # Paths of sockets are short.
            listener.bind(os.path.relpath(path))

    def a_folder(path):
        path.mkdir()
        (path / "part-0.csv").write_bytes(BEFORE)

    for make, kind in ((pipe, "a pipe"), (a_socket, "a socket"), (a_folder, "a folder")):
        odd = folder / "sales-2.csv"
        make(odd)
        refused(shop, folder, f"sales-2.csv is {kind}, not a file; move it away")
        odd.rename(shop.folder / kind)
    assert len(shop.load(from_=folder).files) == 1


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.csv", "../other/sales.csv"])
def test_a_link_out_of_a_folder_is_refused(shop, folder, target):
    (shop.folder / "outside.csv").write_bytes(BEFORE)
    (shop.folder / "other").mkdir()
    (shop.folder / "other" / "sales.csv").write_bytes(BEFORE)
    (folder / "sales-2.csv").symlink_to(target)
    text = refused(shop, folder, "sales-2.csv is a link to .*, outside the folder")
    assert str((folder / target).resolve()) in text


def test_a_link_out_of_a_folder_through_a_link_within_is_refused(shop, folder):
    (shop.folder / "elsewhere").mkdir()
    (shop.folder / "elsewhere" / "x").write_bytes(BEFORE)
    (folder / "sub").symlink_to(shop.folder / "elsewhere")
    (folder / "sales-2.csv").symlink_to("sub/x")
    refused(shop, folder, "sales-2.csv is a link to .*elsewhere/x, outside the folder")


def test_links_within_a_folder_and_to_a_folder_are_fine(shop, folder):
    (folder / "v7").write_bytes(HEADER + numbered(2))
    (folder / "sales-2.csv").symlink_to("v7")
    (shop.folder / "drop").symlink_to(folder)
    assert {f.part for f in shop.load(from_=shop.folder / "drop").files} == {
        "sales.csv", "sales-2.csv"
    }  # fmt: skip


def test_a_link_that_was_asked_for_is_followed(shop, folder):
    (shop.folder / "sales-today.csv").symlink_to(folder / "sales.csv")
    assert only(shop.load(from_=shop.folder / "sales-today.csv")).part == "sales-today.csv"


def test_links_that_lead_nowhere(shop, folder):
    (folder / "sales-2.csv").symlink_to("gone")
    refused(shop, folder, "sales-2.csv is a link to gone, which does not exist")
    (folder / "sales-2.csv").unlink()
    (folder / "sales-3.csv").symlink_to("sales-3.csv")
    refused(shop, folder, "sales-3.csv cannot be read: Too many levels of symbolic links")


def test_what_is_not_finished_and_backups_are_left_out_and_named(shop, folder):
    for name in ("sales-2.csv.part", "sales-3.csv.crdownload", "sales.csv~", "sales.csv.bak"):
        (folder / name).write_bytes(HEADER + numbered(2))
    report = shop.load(from_=folder)
    assert only(report).part == "sales.csv"
    assert [note.partition(": ")[2] for note in report.notes] == [
        "left out as not finished sales-2.csv.part, sales-3.csv.crdownload",
        "left out as an editor's backup sales.csv.bak, sales.csv~",
    ]
    (folder / "sales.csv").unlink()
    with pytest.raises(LoadError, match=r"no file of a dataset; left out as not finished sales-2"):
        shop.load(from_=folder)


def test_one_file_given_twice_is_one(shop, folder):
    file = folder / "sales.csv"
    again = folder / ".." / "in" / "sales.csv"
    assert len(shop.load(from_=[file, folder, again]).files) == 1


def test_names_that_differ_in_case_are_different_files(shop, folder):
    (folder / "SALES.CSV").write_bytes(HEADER + numbered(2))
    if (folder / "SALES.CSV").samefile(folder / "sales.csv"):
        pytest.skip("this disk takes them for one")
    assert len(shop.load(from_=folder).files) == 2
    assert [row[0] for row in shop.rows()] == [1, 2, 7]


# Of the kinds that no list is complete of.
ODD_NAMES = [
    "sales-M\udcfcnchen.csv",
    "sales-\udcff\udcfe.csv.gz",
    f"sales-{'x' * 240}.csv",
    f"sales-{'ä' * 120}.csv",
    "sales-two\nlines.csv",
    "sales-\x1b[31m\t\x01.csv",
    "sales-\u202evsc.exe.csv",
    "sales-'quo\"ted'.csv",
    "sales-[*?]{a,b}.csv",
    "sales-;drop table x;--.csv",
    "sales-back\\slash.csv",
    "sales-%FC$HOME`id`.csv",
    "sales-country=Chile.csv",
    "sales-x.csv.zst",
    "sales-x.csv~0123456789ab",
    " sales.csv",
]


@pytest.mark.parametrize("name", [n for n in ODD_NAMES if n[0] != " "], ids=ascii)
def test_a_file_lands_whatever_its_name(shop, name):
    path = shop.write(BEFORE, name)
    report = shop.load(from_=path.parent)
    file = only(report)
    assert file.rows_landed == 1
    assert file.file.isprintable()
    assert [row[0] for row in shop.rows()] == [7]
    # The same file again is the same part, and a new version takes its place.
    assert only(shop.load(from_=path)).outcome == "unchanged"
    path.write_bytes(HEADER + numbered(250) + b"x,,\n")
    assert only(shop.load(from_=path)).outcome == "replaced"
    assert len(shop.rows()) == 250
    (rejects,) = shop.settings.rejects_dir.rglob("*.csv")
    assert "not a number" in rejects.read_text(encoding="utf-8")
    path.write_bytes(b"")
    with pytest.raises(LoadError, match="is empty") as caught:
        shop.load(from_=path)
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_a_file_whose_name_is_taken_by_pollux(shop):
    for number, name in enumerate(("_empty", ".hidden", "-", "_")):
        content = HEADER + numbered(1, start=number)
        assert only(shop.load(content, name, dataset="sales")).rows_landed == 1
    ensure_empty_parts(shop.settings, read_datasets(shop.folder).values())
    assert [row[0] for row in shop.rows()] == [0, 1, 2, 3]
    assert len(landing.domain_parts(shop.settings, "shop")) == 4


@pytest.mark.parametrize(
    "folder", ["file:", "s3:", "~", "-x", "a=b", "M\udcfcnchen", "*[x]"], ids=ascii
)
def test_a_folder_of_any_name(shop, folder, monkeypatch):
    (shop.folder / folder).mkdir()
    (shop.folder / folder / "sales.csv").write_bytes(BEFORE)
    monkeypatch.chdir(shop.folder)
    assert only(shop.load(from_=type(shop.folder)(folder))).rows_landed == 1
