"""The coupon-propensity model at scale 1: how it is trained, how good it is, how fast it scores.

`orchestration.learn.propensity.measures` computes the measures, which the card shows as well.

The sample knows the true probabilities of coupon use: ranking by these is the best that any model
can do. The figures say how far the model gets from the better baseline towards that.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import psutil

from benchmarks.load_generator import Measured, measure
from benchmarks.measuring import Figures, figure, free_port, run_pollux
from orchestration.learn.propensity.measures import average_precision
from orchestration.learn.propensity.training import PAST_RATE, PREDICTIONS_FILE, PREVALENCE
from pollux import propensity
from pollux.runtime.settings import Settings
from sample.store import generate_store, true_probabilities

SCALE = 1.0
SEEDS = range(1, 6)
# By scale, the way in the mean over the seeds, in percent.
WAYS = {0.1: 90, SCALE: 95}
RATE = 200
SECONDS = 10.0
REPETITIONS = 3
COUPONS = 20
ABOVE_FLOOR_MS = 2
PAIRS_OF_A_CORE = 150_000
BATCH_REQUESTS = 50
BATCH_CONNECTIONS = 2
DEPARTMENTS = ("Boys", "Girls", "Men", "Sport", "Women")
TYPES = ("buy_more", "buy_all", "just_discount", "department")


PARTS = ("quality", "scoring")


class Served(NamedTuple):
    """A running scorer."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """The processor time that it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def run(only: Sequence[str] = PARTS) -> Iterator[dict[str, Any]]:
    """Measures everything, or one of `PARTS`; both take about a quarter of an hour."""
    ways: dict[float, list[float]] = {scale: [] for scale in WAYS}
    places = [(scale, seed) for scale in WAYS for seed in SEEDS]
    for scale, seed in places if "quality" in only else [(SCALE, 1)]:
        with _built(scale, seed) as settings:
            ran = run_pollux(settings.data_dir, "learn", "propensity")
            if "quality" in only:
                quality = Quality(settings, scale, seed)
                ways[scale].append(quality.way)
            if (scale, seed) != (SCALE, 1):
                continue
            if "quality" in only:
                yield figure("training, from the marts to the model", ran.seconds, "s", at_most=180)
                yield figure("memory of that training", ran.peak_mib, "MiB", at_most=4096)
                yield from quality.figures()
            if "scoring" in only:
                with _scorer(settings) as served:
                    yield from _scoring(served)
    for scale, least in WAYS.items() if "quality" in only else ():
        many = f"scale {scale:g}, {len(SEEDS)} seeds"
        way = "way from the better baseline to the ceiling"
        yield figure(f"{way}, {many}, mean", statistics.mean(ways[scale]), "%", at_least=least)
        yield figure(f"{way}, {many}, least", min(ways[scale]), "%")


@contextmanager
def _built(scale: float, seed: int) -> Iterator[Settings]:
    """A store's marts, built from a sample."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "data")
        files = Path(folder) / "files"
        generate_store(files, scale=scale, seed=seed)
        run_pollux(settings.data_dir, "load", "--domain", "store", "--from", str(files))
        run_pollux(settings.data_dir, "build", "--domain", "store", "--no-release")
        yield settings


class Quality:
    """How good the current model is on the test window; `way` is in percent."""

    def __init__(self, settings: Settings, scale: float, seed: int) -> None:
        folder = propensity.models_dir(settings) / propensity.CURRENT
        card = json.loads((folder / propensity.CARD_FILE).read_text())
        truth = true_probabilities(scale=scale, seed=seed)
        with duckdb.connect() as connection:
            connection.register("truth", truth)
            rows = connection.sql(
                f"""
                select is_used, prediction, past_rate, probability
                from '{folder / PREDICTIONS_FILE}' inner join truth using (order_id, coupon_id)
                """
            ).fetchnumpy()
        self.happened = rows["is_used"]
        if self.happened.size != card["windows"]["test"]["pairs"]:
            raise RuntimeError("the pairs of the test window are not those that the sample knows")
        self.test = card["test"]
        self.model, self.past_rate, self.ceiling = (
            average_precision(self.happened, rows[name])
            for name in ("prediction", "past_rate", "probability")
        )
        self.better = max(float(self.happened.mean()), self.past_rate)
        self.way = 100 * (self.model - self.better) / (self.ceiling - self.better)

    def figures(self) -> Figures:
        """Rows of the report."""
        test = self.test
        return [
            figure("pairs of order and coupon in the test window", self.happened.size, "pairs"),
            figure(f"PR-AUC, {PREVALENCE}", float(self.happened.mean()), ""),
            figure(f"PR-AUC, {PAST_RATE}", self.past_rate, ""),
            figure("PR-AUC, model", self.model, "", at_least=self.better),
            figure("PR-AUC, true probabilities (the ceiling)", self.ceiling, ""),
            figure("ROC-AUC, model", test["model"]["roc_auc"], ""),
            figure("log loss, model", test["model"]["log_loss"], ""),
            figure(f"log loss, {PAST_RATE}", test[PAST_RATE]["log_loss"], ""),
            figure("calibration error, model", test["model"]["calibration_error"], ""),
        ]


def _scoring(served: Served) -> Figures:
    port = served.port
    rng = random.Random(1)
    bodies = [json.dumps(_request(rng, number)) for number in range(500)]
    _measure(port, "/score", bodies, kind="open", seconds=3.0)
    # In turn with an answer that needs no work, which shows the machine's own latency.
    floors = []
    runs = []
    for _ in range(REPETITIONS):
        floors.append(_measure(port, "/healthz", None, kind="open", seconds=SECONDS))
        runs.append(_measure(port, "/score", bodies, kind="open", seconds=SECONDS))
    floor = statistics.median(run.percentile_ms(99) for run in floors)
    p50, p99 = (
        statistics.median(run.percentile_ms(percent) for run in runs) for percent in (50, 99)
    )
    closed = _measure(port, "/score", bodies, kind="closed", seconds=SECONDS)
    batches = [
        json.dumps([_request(rng, number) for number in range(BATCH_REQUESTS)]) for _ in range(20)
    ]
    before = served.cpu_seconds()
    batch = _measure(port, "/score/batch", batches, kind="closed", seconds=SECONDS)
    used = served.cpu_seconds() - before
    pairs = BATCH_REQUESTS * COUPONS
    return [
        figure(f"p50 of /score, {COUPONS} coupons, {RATE}/s, one worker", p50, "ms"),
        figure(f"p99 of /score, {COUPONS} coupons, {RATE}/s, one worker", p99, "ms", at_most=5),
        figure(f"p99 of /healthz, {RATE}/s", floor, "ms"),
        figure("p99 of /score above that of /healthz", p99 - floor, "ms", at_most=ABOVE_FLOOR_MS),
        figure("/score as fast as it goes", closed.rate, "requests/s"),
        figure(f"/score/batch, {pairs:,} pairs a request", batch.rate * pairs, "pairs/s"),
        figure(
            "the same, in a second of the scorer's processor",
            batch.requests * pairs / used,
            "pairs",
            at_least=PAIRS_OF_A_CORE,
        ),
    ]


def _measure(
    port: int, path: str, bodies: list[str] | None, *, kind: Any, seconds: float
) -> Measured:
    measured = measure(
        port=port,
        paths=[path],
        bodies=bodies,
        kind=kind,
        seconds=seconds,
        connections=20 if kind == "open" else BATCH_CONNECTIONS,
        rate=RATE,
    )
    if set(measured.statuses) != {"200"}:
        raise RuntimeError(f"{path}: answers other than 200: {measured.statuses}")
    return measured


def _request(rng: random.Random, number: int) -> dict[str, Any]:
    """A typical customer with coupons."""
    items = rng.randint(1, 3000)
    used = rng.randint(0, items // 5)
    customer = {
        "customer_id": number,
        "gender": rng.choice("FM"),
        "age": rng.randint(18, 85),
        "mean_buy_price": round(rng.uniform(5, 80), 2),
        "total_coupons_used": used,
        "mean_discount_received": round(rng.uniform(0, 8), 2),
        "unique_products_bought": rng.randint(1, items),
        "unique_products_bought_with_coupons": rng.randint(0, used),
        "total_items_bought": items,
    }
    coupons = [
        {
            "coupon_id": coupon,
            "coupon_type": rng.choice(TYPES),
            "department": rng.choice(DEPARTMENTS),
            "discount": rng.randint(5, 60),
            "how_many_products_required": rng.choice((-1, 1, 2, 3, 4)),
            "product_mean_price": round(rng.uniform(2, 150), 2),
            "products_available": rng.randint(1, 50),
        }
        for coupon in range(COUPONS)
    ]
    return {"customer": customer, "coupons": coupons}


@contextmanager
def _scorer(settings: Settings) -> Iterator[Served]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "scoring"],
        env=os.environ
        | {"POLLUX_DATA_DIR": str(settings.data_dir), "POLLUX_SCORING_PORT": str(port)},
    )
    try:
        _wait_until_ready(port, process)
        yield Served(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the scorer did not get ready")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these rows alone")
    for row in run(parser.parse_args().only):
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    _main()
