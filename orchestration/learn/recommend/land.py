"""Learns recommendations if due and lands them: dataset `learned.product_recommendations`.

Belongs here: reading the landing zone, when learning is due, where the result and its note are
kept. Since it reads the landing zone rather than marts, one dbt run can build and test everything
that a release holds.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.learn.recommend.household import (
    History,
    Purchases,
    as_history,
    choose_for,
    learned_of,
    neighbours_of,
    recommend_by,
    settled,
)
from orchestration.learn.recommend.model import Parameters, fit
from orchestration.load import landing
from orchestration.load.declarations import LEARNED, Dataset, read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.landing import METADATA_KEY
from orchestration.transform.landed import LandedRelations, compile_for_duckdb
from orchestration.transform.live import read_by, sql_of
from pollux.runtime import recommend
from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import write_lines
from pollux.runtime.recommend.learned import (
    FILES,
    NEIGHBOURS,
    NEIGHBOURS_FILE,
    Learned,
    learned_dir,
    nothing_learned,
    write_learned,
)
from pollux.runtime.recommend.rows import SCHEMA
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step

NAME = "product_recommendations"
PART = f"{NAME}.parquet"

# The rule of which lines count, and the datasets that it reads.
_MODEL = "model.pollux.int_purchases_recommendable"
_READ = (("household", "transaction_data"), ("household", "product"), ("events", "basket_lines"))


def learn_if_due(settings: Settings, say: Callable[[str], None] = lambda _text: None) -> bool:
    """Learns and lands recommendations unless data and code are as they were last time.

    Returns whether it learned. A note beside the part, in JSON, says what it was made with.
    """
    datasets = read_datasets(PROJECT_DIR)
    out = datasets[LEARNED, NAME]
    ensure_empty_parts(settings, datasets.values())
    made_from = _made_from(settings, datasets)
    with landing.locked(settings):
        is_there = all((learned_dir(settings) / name).exists() for name in FILES)
        before = read_note(settings)
        is_same = before.get("made_from") == made_from
        if is_same and is_there and landing.parts(settings, out):
            return False
        started = time.monotonic()
        purchases = read_purchases(settings)
        known = settled(purchases)
        chosen_from = _chosen_from(known)
        if before.get("chosen_from") == chosen_from:
            parameters = Parameters(**before["parameters"])
        else:
            parameters = choose_for(as_history(known), say)
        chosen_at = time.monotonic()
        history = as_history(purchases)
        table, learned, neighbours = _learn(history, parameters)
        note = {
            "made_from": made_from,
            "chosen_from": chosen_from,
            "parameters": asdict(parameters),
            "households": int(history.households.size),
            "products": int(history.products.size),
            "baskets": int(history.baskets.owner.size),
            "rows": table.num_rows,
            "choose_seconds": round(chosen_at - started, 2),
            "fit_and_score_seconds": round(time.monotonic() - chosen_at, 2),
        }
        step("learn.computed")
        _keep(settings, learned, neighbours)
        _land(settings, out, table, note)
    return True


def _learn(history: History, parameters: Parameters) -> tuple[pa.Table, Learned, pa.Table]:
    """Recommendations, what concerns all households, and what neighbours say."""
    if history.households.size == 0:
        return SCHEMA.empty_table(), nothing_learned(), NEIGHBOURS.empty_table()
    model = fit(history.baskets, parameters)
    return (
        recommend_by(model, history),
        learned_of(model, history),
        neighbours_of(model, history),
    )


def read_purchases(settings: Settings) -> Purchases:
    """Lines of merchandise that somebody paid for, in files or live, from the landing zone.

    Raises `BuildError` where the models cannot be compiled.
    """
    manifest = compile_for_duckdb(settings)
    with open_duckdb() as engine:
        lines = LandedRelations(settings, manifest, engine).show(_MODEL)
        found = engine.execute(
            "select household_key as household, product_id as product, minute "
            f"from {lines} order by 1, 3, 2"
        ).fetchnumpy()
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
    digest = hashlib.sha256(_code_hash() + _rule(compile_for_duckdb(settings)).encode())
    for key in _READ:
        digest.update(landing.dataset_fingerprint(settings, datasets[key]).encode())
    digest.update(datasets[LEARNED, NAME].fingerprint.encode())
    return digest.hexdigest()


def _chosen_from(purchases: Purchases) -> str:
    """The hash of purchases in the order of `read_purchases`, and of the code that chooses."""
    digest = hashlib.sha256(_code_hash())
    for column in (purchases.household, purchases.product, purchases.minute):
        digest.update(column.tobytes())
    return digest.hexdigest()


def _code_hash() -> bytes:
    digest = hashlib.sha256()
    for package in (Path(__file__).parent, Path(recommend.__file__).parent):
        for path in sorted(package.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def _rule(manifest: Mapping[str, Any]) -> str:
    """The SQL of the model of purchases and of all that it reads."""
    found: dict[str, str] = {}
    waiting = [_MODEL]
    while waiting:
        node = manifest["nodes"][waiting.pop()]
        found[node["name"]] = sql_of(manifest, node)
        waiting += [one for one in read_by(node) if one.startswith("model.")]
    return json.dumps(found, sort_keys=True)


def _keep(settings: Settings, learned: Learned, neighbours: pa.Table) -> None:
    """Keeps what a household's rows between two builds are made from, for the next build."""
    folder = learned_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with landing.workspace(settings) as work:
        write_learned(work, learned)
        write_lines(work / NEIGHBOURS_FILE, "household_key", neighbours.to_reader())
        for name in FILES:
            landing.publish(work / name, folder / name)


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
