"""The marts in Polars that the SQL is compared with are those of the pandas port."""

from pathlib import Path

import pytest

pytest.importorskip("polars", reason="Polars is not installed: uv pip install --group bench")

from benchmarks.bench_household import demand_equal, run_pandas, run_polars
from orchestration.load.run import load
from pollux.runtime.settings import Settings
from sample.household import generate_household


def test_all_marts_are_equal(tmp_path: Path) -> None:
    generate_household(tmp_path / "files", scale=0.01, seed=1)
    settings = Settings(data_dir=tmp_path / "data")
    load(settings, domain="household", from_=tmp_path / "files")
    landing = settings.landing_dir / "household"
    _, expected = run_pandas(landing)
    assert len(expected) == 18
    assert all(len(mart) for mart in expected.values())
    run_polars(landing, expected)

    rfm = expected["household_rfm"]
    for column, other in (("f_score", 9), ("baskets_per_day", 1e-3), ("has_demographics", None)):
        changed = rfm.astype({column: "object"})
        changed.loc[3, column] = other
        with pytest.raises(RuntimeError, match=f"household_rfm.{column} differs"):
            demand_equal("household_rfm", changed, rfm)
    with pytest.raises(RuntimeError, match="another number of rows"):
        demand_equal("household_rfm", rfm.iloc[1:], rfm)
