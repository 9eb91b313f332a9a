"""What is too old by the settings goes: the clock is moved, not waited for."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.load import inbox, landing
from orchestration.load.convert_csv import write_empty
from orchestration.load.counts import count_problems
from orchestration.load.declarations import read_datasets
from orchestration.load.event_datasets import EVENTS
from orchestration.load.load_log import read_load_log
from orchestration.load.retention import forget_old
from orchestration.load.retention_note import Forgotten, LastTime, note, read_note
from orchestration.load.run import load
from pollux.runtime.settings import PROJECT_DIR, Settings

HEADER = "file,line,column,reason,raw\n"
REJECTS = f'{HEADER}a.csv,2,id,not a number,"x,Áine O\'Canary\nof Cork"\na.csv,5,,2 fields,"y"\n'
NOTHING = Forgotten()


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
    assert forget_old(settings, after(9.9)) == NOTHING
    assert rejects.read_text() == REJECTS
    assert failed.exists()

    assert forget_old(settings, after(10.1)) == Forgotten(texts=2, failed_files=2)
    assert rejects.read_text() == f"{HEADER}a.csv,2,id,not a number,\na.csv,5,,2 fields,\n"
    assert list(failed.parent.iterdir()) == []
    assert list(rejects.parent.iterdir()) == [rejects]
    assert part.read_text() == "data"
    assert forget_old(settings, after(90)) == NOTHING


def test_a_file_without_texts_is_not_read_every_hour(tmp_path: Path) -> None:
    settings, rejects, _ = installation(tmp_path)
    assert forget_old(settings, after(10.1)) == Forgotten(texts=2, failed_files=2)
    os.utime(rejects, (0, 0))
    assert forget_old(settings, after(0)) == NOTHING
    assert rejects.stat().st_mtime > 0


def test_an_installation_without_rejects_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget_old(Settings(data_dir=tmp_path), after(1000)) == NOTHING
    assert list(tmp_path.iterdir()) == []


CUSTOMERS = read_datasets(PROJECT_DIR)["store", "customers"]
DAY = datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_data_of_old_days_go_with_their_rejects_and_files(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", landing_retention_days=30, reject_limit_percent=100
    )
    loaded = settings.inbox_dir / "loaded" / "store"
    loaded.mkdir(parents=True)
    names = ["customers-2026-02-07.csv", "customers-20260208.csv", "customers.csv"]
    for number, name in enumerate(names):
        (loaded / name).write_text(f"customer_id,gender,age\n{number},F,33\nx,F,33\n")
    load(settings, domain="store", from_=loaded)
    assert {part.name for part in landing.parts(settings, CUSTOMERS)} == set(names)

    kept = settings.model_copy(update={"landing_retention_days": None})
    assert forget_old(kept, DAY) == NOTHING
    # The 8th of February is 30 days before the 10th of March.
    assert forget_old(settings, DAY) == Forgotten(loaded_files=1, parts=1)
    left = set(names[1:])
    assert {part.name for part in landing.parts(settings, CUSTOMERS)} == left
    assert {path.name for path in loaded.iterdir()} == left
    rejects = (settings.rejects_dir / "store" / "customers").iterdir()
    assert {path.name for path in rejects} == {f"{name}.csv" for name in left}
    assert count_problems(settings, CUSTOMERS) == []
    last = read_load_log(settings)[-1]
    assert (last["part"], last["outcome"]) == (names[0], "forgotten")
    assert forget_old(settings, DAY) == NOTHING


def test_landed_decisions_go_but_for_the_newest_part(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, decisions_retention_days=10)
    datasets = {
        name: read_datasets(PROJECT_DIR)[EVENTS, name] for name in ("decisions", "conversions")
    }
    for dataset in datasets.values():
        record = landing.part_record(dataset, sha256="", rejected=0, sample=False)
        for name in ("000000000001-000000000009", "000000000010-000000000011"):
            path = landing.part_path(settings, dataset, f"{dataset.name}_{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_empty(dataset, path, record)
    assert forget_old(settings, after(9.9)) == NOTHING
    assert forget_old(settings, after(10.1)) == Forgotten(parts=1)
    # By it the next landing knows where to go on.
    (left,) = landing.parts(settings, datasets["decisions"])
    assert left.name == "decisions_000000000010-000000000011"
    assert len(landing.parts(settings, datasets["conversions"])) == 2
    assert forget_old(settings, after(99)) == NOTHING


def test_the_last_time_is_noted(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert read_note(settings) is None
    last = LastTime("2026-03-10T12:00:00+00:00", Forgotten(runs=3, texts=2), "held by a build")
    note(settings, last)
    assert read_note(settings) == last
    (tmp_path / "retention.json").write_text("{")
    assert read_note(settings) is None
