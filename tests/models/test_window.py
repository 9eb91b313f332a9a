"""A shop's own transactions, with dates: the window moves on with them, and the marts follow."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestration.build import build
from orchestration.load.declarations import read_datasets
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.errors import BuildError
from pollux.calendar import date_of
from tests.conftest import PROJECT_DIR
from tests.models.test_marts_agree import assert_equal, read_raw, released
from tests.oracles.household import household_marts, household_seeds, moving_window
from tests.support.installations import Prepared

pytestmark = pytest.mark.endurance

# Twenty years of weeks after the study.
WEEKS = 1071
DAYS = 7 * WEEKS
LEARNED = {"product_recommendations"}


def later(text: str) -> str:
    return str(int(text) + DAYS) if text else ""


def later_date(text: str) -> str:
    return date_of(int(text) + DAYS).isoformat() if text else ""


def rewrite(source: Path, target: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with source.open(newline="") as given, target.open("w", newline="") as out:
        rows = csv.DictReader(given)
        writer = csv.DictWriter(out, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(change(row) for row in rows)


def move(source: Path, target: Path, of_day: Callable[[str], str], *, weeks: bool) -> None:
    """Writes the files with other days; transactions have a week only where asked for."""
    target.mkdir()

    def lines(row: dict[str, str]) -> dict[str, str]:
        day = row["DAY"]
        week = str((int(day) + DAYS + 8) // 7) if weeks and day else ""
        return row | {"DAY": of_day(day), "WEEK_NO": week}

    changes: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
        "transaction_data": lines,
        "campaign_desc": lambda row: (
            row | {name: of_day(row[name]) for name in ("START_DAY", "END_DAY")}
        ),
        "coupon_redempt": lambda row: row | {"DAY": of_day(row["DAY"])},
        "causal_data": lambda row: row | {"WEEK_NO": str(int(row["WEEK_NO"]) + WEEKS)},
    }
    for file in source.glob("*.csv"):
        rewrite(file, target / file.name, changes.get(file.stem, lambda row: row))


def test_a_shop_that_goes_on(prepared: Prepared, short_tmp: Path, tmp_path: Path) -> None:
    source = prepared.samples()["household"]
    move(source, tmp_path / "dates", later_date, weeks=False)
    move(source, tmp_path / "numbers", later, weeks=True)
    settings = prepared.empty(short_tmp / "window")
    report = load(settings, domain="household", from_=tmp_path / "dates")
    assert [file.rows_rejected for file in report.files] == [0] * 8
    build(settings, ["household"]).raise_if_failed()
    release(settings, "household")

    raw: dict[str, Any] = {
        dataset.name: read_raw(dataset, tmp_path / "numbers")
        for dataset in read_datasets(PROJECT_DIR).values()
        if dataset.domain == "household"
    }
    window = moving_window(raw["transaction_data"]["day"])
    assert date_of(window[1]).year > 2024
    expected = household_marts(raw, **household_seeds(PROJECT_DIR / "seeds"), window=window)
    marts = released(settings, "household")
    assert marts.keys() - LEARNED == expected.keys()
    for name, rows in expected.items():
        assert len(rows) > 0, name
        assert_equal(*marts[name], rows)

    unknown = settings.model_copy(update={"study": "tafeng"})
    with pytest.raises(BuildError) as caught:
        build(unknown, ["household"])
    assert (
        "POLLUX_STUDY is tafeng, which dbt_project.yml does not have among its studies: take "
        "complete_journey, or leave it out for a window that moves on with the data"
    ) in str(caught.value)
