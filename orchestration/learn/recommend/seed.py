"""Makes the dbt seed of recommendations for the small retailer in seeds/.

Run `python -m orchestration.learn.recommend.seed` after changing the household seeds. Other seeds
are cut from samples (`sample.seeds`).
"""

import tempfile
from pathlib import Path

import pyarrow.csv as pc

from orchestration.learn.recommend.household import as_history, choose_for, recommend_all
from orchestration.learn.recommend.land import read_purchases
from orchestration.load.declarations import read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.run import load
from pollux.runtime.settings import PROJECT_DIR, Settings

PER_KIND = 5


def main() -> None:
    """Loads the household seeds into a temporary folder and learns from them."""
    seeds = PROJECT_DIR / "seeds"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        for name in ("transaction_data", "product"):
            load(
                settings,
                domain="household",
                from_=seeds / f"raw_household__{name}.csv",
                dataset=name,
                sample=True,
            )
        # Nobody bought live.
        ensure_empty_parts(settings, read_datasets(PROJECT_DIR).values())
        history = as_history(read_purchases(settings))
        table = recommend_all(history, choose_for(history), per_kind=PER_KIND)
    options = pc.WriteOptions(quoting_style="needed")
    pc.write_csv(table, seeds / "raw_learned__product_recommendations.csv", options)


if __name__ == "__main__":
    main()
