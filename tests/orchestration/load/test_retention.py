"""What was not loaded is forgotten when it is old: the clock is moved, not waited for."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.load import inbox
from orchestration.load.retention import Forgotten, forget_rejects
from pollux.runtime.settings import Settings

HEADER = "file,line,column,reason,raw\n"
REJECTS = f'{HEADER}a.csv,2,id,not a number,"x,Áine O\'Canary\nof Cork"\na.csv,5,,2 fields,"y"\n'
NOTHING = Forgotten(0, 0)


def after(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def installation(tmp_path: Path) -> tuple[Settings, Path, Path]:
    settings = Settings(data_dir=tmp_path, rejects_retention_days=10)
    rejects = settings.rejects_dir / "shop" / "sales" / "a.csv.csv"
    rejects.parent.mkdir(parents=True)
    rejects.write_text(REJECTS)
    waiting = tmp_path / "b.csv"
    waiting.write_text("Áine")
    # Its content is older than the load that failed.
    os.utime(waiting, (0, 0))
    failed = inbox.set_aside(settings, "shop", waiting, None, "It failed.")
    return settings, rejects, failed


def test_old_rejects_lose_their_text_and_failed_files_go(tmp_path: Path) -> None:
    settings, rejects, failed = installation(tmp_path)
    part = settings.landing_dir / "shop" / "sales" / "a.csv.parquet"
    part.parent.mkdir(parents=True)
    part.write_text("data")
    assert forget_rejects(settings, after(9.9)) == NOTHING
    assert rejects.read_text() == REJECTS
    assert failed.exists()

    assert forget_rejects(settings, after(10.1)) == Forgotten(2, 2)
    assert rejects.read_text() == f"{HEADER}a.csv,2,id,not a number,\na.csv,5,,2 fields,\n"
    assert list(failed.parent.iterdir()) == []
    assert list(rejects.parent.iterdir()) == [rejects]
    assert part.read_text() == "data"
    assert forget_rejects(settings, after(90)) == NOTHING


def test_a_file_without_texts_is_not_read_every_hour(tmp_path: Path) -> None:
    settings, rejects, _ = installation(tmp_path)
    assert forget_rejects(settings, after(10.1)) == Forgotten(2, 2)
    os.utime(rejects, (0, 0))
    assert forget_rejects(settings, after(0)) == NOTHING
    assert rejects.stat().st_mtime > 0


def test_an_installation_without_rejects_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget_rejects(Settings(data_dir=tmp_path), after(1000)) == NOTHING
    assert list(tmp_path.iterdir()) == []
