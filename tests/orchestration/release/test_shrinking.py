"""A release that would remove most served rows: held back with the reason, released on request."""

import json
from pathlib import Path

import duckdb
import pytest

from orchestration.release.errors import ShrinkingError
from orchestration.release.publish import release
from orchestration.release.registry import current_number
from orchestration.release.shrinking import is_shrinking
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.support.builds import build_again

pytestmark = pytest.mark.integration


def keep(settings: Settings, mart: str, where: str) -> tuple[int, int]:
    """Leaves the rows of a mart for which `where` holds; rows before and after."""
    name = f"warehouse_marts.{mart}"
    with duckdb.connect(settings.warehouse_path) as warehouse:
        ((before,),) = warehouse.execute(f"select count(*) from {name}").fetchall()
        warehouse.execute(f"delete from {name} where not coalesce({where}, false)").fetchall()
        ((after,),) = warehouse.execute(f"select count(*) from {name}").fetchall()
    build_again(settings)
    return before, after


def served(settings: Settings) -> int | None:
    with open_serving_store(settings).connect() as connection:
        return current_number(connection, "household")


def test_release_that_would_take_most_rows_is_held_back(released: Settings, pollux) -> None:
    empty = keep(released, "hh_summary", "false")
    most = keep(released, "daily_hh_spend", "household_key % 4 = 0")
    assert 0 < most[1] * 2 < most[0]
    with pytest.raises(ShrinkingError) as held:
        release(released, "household")
    message = str(held.value)
    assert message.startswith("The release of household is held back, 1 stays served")
    assert f"\n  hh_summary: {empty[0]:,} → 0 rows\n" in message
    assert f"\n  daily_hh_spend: {most[0]:,} → {most[1]:,} rows\n" in message
    assert "household_rfm" not in message
    assert "Look at what was loaded last" in message
    assert served(released) == 1

    done = pollux(released, "release")
    assert done.returncode == ShrinkingError.exit_code
    assert "--accept-shrinking releases it" in " ".join(done.stderr.split())
    done = pollux(released, "release", "--accept-shrinking")
    assert done.returncode == 0, done.stderr
    assert served(released) == 2


@pytest.mark.endurance
def test_real_files_that_replace_the_sample_are_released_on_request(
    released: Settings, realdata: Path, pollux
) -> None:
    folder = realdata / "complete_journey"
    done = pollux(released, "load", "--domain", "household", "--from", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert "sample" in done.stderr
    report = json.loads(done.stdout)
    assert sum(file["rows_rejected"] for file in report["files"]) == 0
    done = pollux(released, "build")
    assert done.returncode == ShrinkingError.exit_code, done.stderr
    done = pollux(released, "release", "--accept-shrinking")
    assert done.returncode == 0, done.stderr
    redemptions = (folder / "coupon_redempt.csv").read_bytes().count(b"\n") - 1
    select = "select sum(redemptions) from campaign_summary"
    done = pollux(released, "query", select, "--format", "csv")
    assert done.stdout.splitlines()[1] == str(redemptions)


def test_a_mart_that_was_empty_may_stay_empty(released: Settings) -> None:
    keep(released, "household_rfm", "false")
    release(released, "household", accept_shrinking=True)
    build_again(released)
    assert release(released, "household").number == 3


@pytest.mark.parametrize(
    ("before", "after", "is_held"),
    [(4, 2, False), (4, 1, True), (1, 0, True), (0, 0, False), (1, 5, False)],
)
def test_more_than_half_is_too_much(before: int, after: int, is_held: bool) -> None:
    assert is_shrinking(before, after) is is_held


def test_datasets_without_data_are_named_as_the_likely_cause(released: Settings) -> None:
    keep(released, "products", "false")
    for part in (released.landing_dir / "household" / "product").glob("*.parquet"):
        if not part.name.startswith("_empty"):
            part.unlink()
    with pytest.raises(ShrinkingError, match="Nothing is loaded for product: load what is missing"):
        release(released, "household")
