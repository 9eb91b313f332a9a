"""How fast `load` is against one handwritten COPY of DuckDB, and how much memory it takes."""

import random
import statistics
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.measuring import Figures, figure, run_pollux
from orchestration.load.run import load
from orchestration.scans import scan_csv
from pollux.runtime.settings import Settings
from sample.household import generate_household

REPETITIONS = 7


def run() -> Figures:
    """Measures everything; takes about three minutes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate_household(folder, scale=1, seed=1, causal=True)
        source, causal = folder / "transaction_data.csv", folder / "causal_data.csv"
        by_hand(source, folder), by_load(source, folder)
        pairs = [(by_hand(source, folder), by_load(source, folder)) for _ in range(REPETITIONS)]
        hand, loaded = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in pairs)
        with_rejects = by_load(dirty(source, folder), folder)
        small, small_seconds = peak_memory(source, folder)
        big, big_seconds = peak_memory(causal, folder)
        return [
            figure("transaction_data, 2.6 million lines, by one COPY by hand", hand, "s"),
            figure("the same by load, all checks on", loaded, "s"),
            figure("load ÷ by hand", ratio, "ratio", at_most=1.5),
            figure("the same with 0.1 % of the lines rejected", with_rejects, "s"),
            figure("memory of the command for 2.6 million lines", small, "MiB"),
            figure("its seconds", small_seconds, "s"),
            figure("memory of the command for 36.8 million lines", big, "MiB", at_most=1024),
            figure("its seconds", big_seconds, "s"),
        ]


def by_hand(source: Path, folder: Path) -> float:
    """Return the seconds of one handwritten COPY."""
    started = time.perf_counter()
    _execute(f"COPY (FROM {scan_csv(source)}) TO '{folder / 'by_hand.parquet'}'")
    return time.perf_counter() - started


def by_load(source: Path, folder: Path) -> float:
    """Return the seconds of a load with all its checks into an empty landing zone."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        started = time.perf_counter()
        load(Settings(data_dir=Path(data)), domain="household", from_=source)
        return time.perf_counter() - started


def dirty(source: Path, folder: Path) -> Path:
    """Write a copy in which every thousandth row has one value that does not fit."""
    path = folder / "dirty" / source.name
    path.parent.mkdir()
    rng = random.Random(1)
    with source.open("rb") as lines, path.open("wb") as out:
        out.write(next(lines))
        out.writelines(
            line.replace(b",", b",x", 1) if rng.random() < 0.001 else line for line in lines
        )
    return path


def peak_memory(source: Path, folder: Path) -> tuple[float, float]:
    """The most memory `pollux load` held, MiB, and its seconds."""
    with tempfile.TemporaryDirectory(dir=folder) as data:
        ran = run_pollux(Path(data), "load", "--domain", "household", "--from", str(source))
    return ran.peak_mib, ran.seconds


def _execute(query: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(query).fetchall()


if __name__ == "__main__":
    for row in run():
        print(row)
