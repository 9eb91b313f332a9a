"""How fast `load` is against one hand-written COPY of DuckDB, and how much memory it takes.

Belongs here: the measurement and its data. Does not belong here: what the numbers are used for.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from orchestration.load.run import load
from pollux.runtime.settings import Settings

REPETITIONS = 7
TARGET_RATIO = 1.5
TARGET_MEMORY_MIB = 1024
SCALE_1_ROWS = 2_595_732
CAUSAL_ROWS = 36_786_524

_CHILD = """
import re, sys
from pathlib import Path
from orchestration.load.run import load
from pollux.runtime.settings import Settings
load(Settings(data_dir=Path(sys.argv[1])), domain="household", from_=Path(sys.argv[2]))
status = Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s*(\\d+)", status)[1]) / 1024)
"""


def make_transactions(folder: Path, rows: int = SCALE_1_ROWS) -> Path:
    """Write a transaction_data.csv like the real one: 12 columns, about 60 bytes a row."""
    path = folder / "transaction_data.csv"
    query = """
        SELECT 1 + hash(i, 1) % 2500 AS household_key,
            26984851472 + i * 5800 + hash(i, 2) % 5800 AS BASKET_ID,
            1 + i * 710 // $rows AS DAY,
            25671 + hash(i, 3) % 92000 * 190 AS PRODUCT_ID,
            CASE WHEN hash(i, 4) % 5 < 4 THEN 1 ELSE 1 + hash(i, 5) % 9 END AS QUANTITY,
            (hash(i, 6) % 1999 / 100)::DOUBLE AS SALES_VALUE,
            300 + hash(i, 7) % 120 AS STORE_ID,
            CASE WHEN hash(i, 8) % 2 = 0 THEN -(hash(i, 9) % 300 / 100) ELSE 0 END AS RETAIL_DISC,
            (hash(i, 10) % 24) * 100 + hash(i, 11) % 60 AS TRANS_TIME,
            (DAY + 8) // 7 AS WEEK_NO,
            CASE WHEN hash(i, 12) % 80 = 0 THEN -0.5 ELSE 0.0 END AS COUPON_DISC,
            0.0::DOUBLE AS COUPON_MATCH_DISC
        FROM range($rows) t(i)
    """.replace("$rows", str(rows))
    _execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER)")
    return path


def make_causal(folder: Path, rows: int = CAUSAL_ROWS) -> Path:
    """Write a causal_data.csv of the real one's number of rows."""
    path = folder / "causal_data.csv"
    query = f"""
        SELECT 26190 + i // 400 AS PRODUCT_ID, 286 + i % 115 AS STORE_ID,
            9 + hash(i) % 93 AS WEEK_NO, (hash(i, 1) % 10)::VARCHAR AS display,
            chr(65 + (hash(i, 2) % 8)::INT) AS mailer
        FROM range({rows}) t(i)
    """
    _execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER)")
    return path


def by_hand(source: Path, folder: Path) -> float:
    """Return the seconds of one hand-written COPY."""
    started = time.perf_counter()
    _execute(f"COPY (FROM read_csv('{source}')) TO '{folder / 'by_hand.parquet'}'")
    return time.perf_counter() - started


def by_load(source: Path, folder: Path) -> float:
    """Return the seconds of a load with all its checks into an empty landing zone."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        started = time.perf_counter()
        load(Settings(data_dir=Path(data)), domain="household", from_=source)
        return time.perf_counter() - started


def dirty(source: Path, folder: Path) -> Path:
    """Write a copy of which every thousandth row has one value that does not fit."""
    path = folder / "dirty" / source.name
    path.parent.mkdir()
    rng = random.Random(1)
    with source.open("rb") as lines, path.open("wb") as out:
        out.write(next(lines))
        out.writelines(
            line.replace(b",", b",x", 1) if rng.random() < 0.001 else line for line in lines
        )
    return path


def peak_memory(source: Path, folder: Path) -> float:
    """Return the peak MiB of a process that loads the file; Linux only."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, data, str(source)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
    return float(done.stdout)


def run(transactions: Path | None = None, *, causal: bool = False) -> list[dict[str, Any]]:
    """Measure; return rows of name, value, unit, target, ok.

    `transactions` is a transaction_data.csv of scale 1, else one is made; `causal` adds the load
    of 36.8 million rows.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = transactions or make_transactions(folder)
        by_hand(source, folder), by_load(source, folder)
        pairs = [(by_hand(source, folder), by_load(source, folder)) for _ in range(REPETITIONS)]
        hand, loaded = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in pairs)
        memory = peak_memory(source, folder)
        with_rejects = by_load(dirty(source, folder), folder)
        rows = [
            _row("load: hand-written COPY, 2.6 M rows", hand, "s"),
            _row("load: load() with all checks, 2.6 M rows", loaded, "s"),
            _row("load: ratio of the two", ratio, "x", TARGET_RATIO),
            _row("load: peak memory, 2.6 M rows", memory, "MiB", TARGET_MEMORY_MIB),
            _row("load: 2.6 M rows, 0.1 % rejected", with_rejects, "s"),
        ]
        if causal:
            big = make_causal(folder)
            rows += [
                _row("load: 36.8 M rows of causal_data", by_load(big, folder), "s"),
                _row("load: peak memory, 36.8 M", peak_memory(big, folder), "MiB", 1024),
            ]
    return rows


def _execute(query: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(query)


def _row(name: str, value: float, unit: str, target: float | None = None) -> dict[str, Any]:
    ok = target is None or value <= target
    return {"name": name, "value": round(value, 3), "unit": unit, "target": target, "ok": ok}


if __name__ == "__main__":
    for row in run(causal="--causal" in sys.argv):
        goal = f"  (target {row['target']}: {'ok' if row['ok'] else 'MISSED'})"
        print(f"{row['name']:45} {row['value']:>9} {row['unit']}{goal if row['target'] else ''}")
