"""Raw files of any state let an erasure go on: damaged ones, and what a killed erasure prepared."""

import gzip
import os
from pathlib import Path

import duckdb
import pytest

from orchestration.erase import scan as scans
from orchestration.erase.changes import UNFINISHED
from orchestration.erase.files import erase_files
from orchestration.erase.scan import scan
from pollux.runtime.settings import Settings
from pollux.subjects import Subject, Suppressed

ANNA = Subject("member", "anna@canary.example")
COLUMNS = {"member": {"email": True, "line": True}}
LIST = "LoyaltyList.txt.gz"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=None)


def put(settings: Settings, name: str, content: bytes) -> Path:
    path = settings.inbox_dir / "loyalty" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    # Long enough ago to be no longer written.
    os.utime(path, (1e9, 1e9))
    return path


def parquet(folder: Path) -> bytes:
    path = folder / "members.parquet"
    duckdb.sql(f"copy (select '{ANNA.id}' as email) to '{path}' (format parquet)")
    return path.read_bytes()


def erased(settings: Settings) -> dict[str, int]:
    noted: dict[str, int] = {}
    erase_files(settings, [ANNA], COLUMNS, Suppressed(), {}, noted.update)
    assert scan(settings, [ANNA], COLUMNS).places == []
    return noted


def test_a_damaged_file_is_removed(settings: Settings, tmp_path: Path) -> None:
    whole = parquet(tmp_path)
    packed = gzip.compress(ANNA.id.encode())
    files = [
        put(settings, "a.parquet", whole[:-8]),
        put(settings, "b.parquet", whole[:4]),
        put(settings, "c.csv.gz", packed[:-8]),
        put(settings, "d.csv.gz", packed[:12] + b"\xff" * 8 + packed[20:]),
    ]
    # It is still being written.
    young = put(settings, "e.parquet", whole[:4])
    os.utime(young)
    assert erased(settings)["inbox (files)"] == len(files)
    assert not any(path.exists() for path in files)
    assert young.exists()


def test_what_a_killed_erasure_had_prepared_is_prepared_anew(
    settings: Settings, tmp_path: Path
) -> None:
    lines = f"{ANNA.id},fb,insta,F\nother@canary.example,fb,insta,F\n"
    packed = gzip.compress(lines.encode())
    file = put(settings, LIST, packed)
    put(settings, f".{LIST}{UNFINISHED}", packed[:20])
    put(settings, "members.parquet", parquet(tmp_path))
    put(settings, f".members.parquet{UNFINISHED}", b"PAR1")
    assert erased(settings)["inbox (files)"] == 2
    assert gzip.decompress(file.read_bytes()) == b"other@canary.example,fb,insta,F\n"
    assert sorted(path.name for path in file.parent.iterdir()) == [LIST, "members.parquet"]


def test_a_file_that_goes_while_it_is_looked_through_is_passed_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = put(settings, "a.txt", ANNA.id.encode())
    monkeypatch.setattr(scans, "files_of", lambda *_: [(there.with_name("b"), "b"), (there, "a")])
    assert [place.name for place in scan(settings, [ANNA], COLUMNS).places] == ["a", "a"]
