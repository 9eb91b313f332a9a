"""Learns recommendations if due and lands them: dataset `learned.product_recommendations`.

Belongs here: reading the landing zone, when learning is due, where the result and its note are
kept. Since it reads the landing zone rather than marts, one dbt run can build and test everything
that a release holds.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from orchestration.learn.recommend.household import (
    Purchases,
    as_history,
    choose_for,
    lines_in_order,
    recommend_all,
)
from orchestration.load import landing
from orchestration.load.declarations import LEARNED, Dataset, read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.landing import METADATA_KEY
from orchestration.scans import literal, scan_parts
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step

NAME = "product_recommendations"
PART = f"{NAME}.parquet"

# The same products as in the model int_products_recommendable, by the same variables; a test of
# the mart checks that.
_PURCHASES = """
with products as (select * from {products}),
lines as ({lines}),
merchandise as (
    select distinct product_id from products
    where nullif(trim(department), '') is not null
        and nullif(trim(commodity_desc), '') is not null
        and trim(department) not in ({departments})
        and trim(commodity_desc) not in ({commodities})
        and trim(coalesce(sub_commodity_desc, '')) <> {fuel}
)
select household_key as household, product_id as product, minute
from lines semi join merchandise using (product_id)
where quantity > 0 and sales_value > 0
order by 1, 3, 2
"""


def learn_if_due(settings: Settings, say: Callable[[str], None] = lambda _text: None) -> bool:
    """Learns and lands recommendations unless data and code are as they were last time.

    Returns whether it learned. A note beside the part, in JSON, says what it was made with.
    """
    datasets = read_datasets(PROJECT_DIR)
    out = datasets[LEARNED, NAME]
    ensure_empty_parts(settings, datasets.values())
    made_from = _made_from(settings, datasets)
    with landing.locked(settings):
        if read_note(settings).get("made_from") == made_from and landing.parts(settings, out):
            return False
        started = time.monotonic()
        history = as_history(read_purchases(settings, datasets))
        parameters = choose_for(history, say)
        chosen_at = time.monotonic()
        table = recommend_all(history, parameters)
        note = {
            "made_from": made_from,
            "parameters": asdict(parameters),
            "households": int(history.households.size),
            "products": int(history.products.size),
            "baskets": int(history.baskets.owner.size),
            "rows": table.num_rows,
            "choose_seconds": round(chosen_at - started, 2),
            "fit_and_score_seconds": round(time.monotonic() - chosen_at, 2),
        }
        step("learn.computed")
        _land(settings, out, table, note)
    return True


def read_purchases(settings: Settings, datasets: dict[tuple[str, str], Dataset]) -> Purchases:
    """Lines of merchandise with a positive quantity and price, from the landing zone."""
    variables = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    folders = {
        name: landing.dataset_dir(settings, datasets["household", name])
        for name in ("product", "transaction_data")
    }
    query = _PURCHASES.format(
        products=scan_parts(folders["product"]),
        lines=lines_in_order(scan_parts(folders["transaction_data"])),
        departments=_listed(variables["not_merchandise_departments"]),
        commodities=_listed(variables["not_merchandise_commodities"]),
        fuel=literal(variables["excluded_sub_commodity"]),
    )
    with open_duckdb() as engine:
        found = engine.execute(query).fetchnumpy()
    return Purchases(
        household=np.asarray(found["household"], dtype=np.int64),
        product=np.asarray(found["product"], dtype=np.int64),
        minute=np.asarray(found["minute"], dtype=np.float64),
    )


def read_note(settings: Settings) -> dict[str, Any]:
    """The note on what the landed recommendations were made with; empty if there are none."""
    path = _note_path(settings)
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return note


def _note_path(settings: Settings) -> Path:
    return settings.landing_dir / LEARNED / NAME / f"{NAME}.json"


def _made_from(settings: Settings, datasets: dict[tuple[str, str], Dataset]) -> str:
    digest = hashlib.sha256((PROJECT_DIR / "dbt_project.yml").read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for name in ("transaction_data", "product"):
        digest.update(landing.dataset_fingerprint(settings, datasets["household", name]).encode())
    digest.update(datasets[LEARNED, NAME].fingerprint.encode())
    return digest.hexdigest()


def _land(settings: Settings, dataset: Dataset, table: pa.Table, note: dict[str, Any]) -> None:
    is_sample = landing.is_sample(settings, "household")
    content = hashlib.sha256(
        json.dumps([note["made_from"], note["parameters"]]).encode()
    ).hexdigest()
    record = landing.part_record(dataset, sha256=content, rejected=0, sample=is_sample)
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(record)})
    with landing.workspace(settings) as work:
        pq.write_table(table, work / "part")
        (work / "note").write_text(json.dumps(note, indent=2), encoding="utf-8")
        # The note last: without it, learning is due again.
        landing.publish(work / "part", landing.part_path(settings, dataset, PART))
        step("learn.landed")
        landing.publish(work / "note", _note_path(settings))


def _listed(values: list[str]) -> str:
    return ", ".join(literal(value) for value in values)
