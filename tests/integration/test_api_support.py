"""What the tests of the API share: releases made by hand, and servers to ask.

The tables are made from the models' contracts, so a change of a contract changes what is served.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn
import yaml
from fastapi import FastAPI

from pollux.runtime.serving import READER_ROLE, ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from services.api.server import configure

PROJECT_DIR = Path(__file__).resolve().parents[2]
Row = dict[str, Any]

SECTIONS = [
    "alcohol", "beverages", "concessions", "dairy", "drug", "garden", "grain_goods", "grocery",
    "home_family", "junk_food", "kitchen", "meat", "misc", "produce", "seasonal",
]  # fmt: skip
# Household 1 as published in the summary document.
SUMMARY = {
    "index": 0, "household_key": 1, "age_45_plus": True, "income_50K_plus": False,
    "single_couple_family": 2, "has_kids": False, "single": False, "couple": True,
    "r_score": 5, "f_score": 3, "m_score": 4, "rfm_score": 12, "rfm_bins": 3,
    "alcohol": 6.48, "beverages": 314.83, "concessions": 20.33, "dairy": 362.76, "drug": 53.44,
    "garden": 0.0, "grain_goods": 668.41, "grocery": 230.24, "home_family": 537.29,
    "junk_food": 764.02, "kitchen": 1.59, "meat": 379.04, "misc": 303.82, "produce": 477.82,
    "seasonal": 0.0, "total_sales": 4120.07,
}  # fmt: skip
WITHOUT_DEMOGRAPHICS = 2
NOWHERE = 4711
LARGEST = 2**63 - 1


def contracts() -> dict[str, Row]:
    """The served models of the domain as their YAML declares them, by name."""
    found = {}
    for path in sorted((PROJECT_DIR / "models/marts/household").glob("*.yml")):
        for model in yaml.safe_load(path.read_text())["models"]:
            found[model["name"]] = model
    return found


def primary_key(model: Row) -> list[str]:
    for constraint in model["constraints"]:
        if constraint["type"] == "primary_key":
            return constraint["columns"]
    raise AssertionError(model["name"])


def household_rows(number: int) -> list[Row]:
    """Forty households with ties in every sort; `baskets` tells the release they are of."""
    rows = [
        {
            "household_key": 1, "first_day": 102, "last_day": 706, "baskets": number,
            "baskets_per_day": 0.1, "total_sales": Decimal("4120.07"), "r_score": 5, "f_score": 3,
            "m_score": 4, "rfm_score": 12, "rfm_bins": 3, "has_demographics": True,
        }
    ]  # fmt: skip
    for key in [*range(2, 40), -5, LARGEST]:
        r, f, m = key % 5 + 1, key % 4 + 1, key % 3 + 1
        rows.append(
            {
                "household_key": key, "first_day": 101, "last_day": 600 + key % 7,
                "baskets": number, "baskets_per_day": 1 / 3,
                "total_sales": Decimal(key % 6 * 100) + Decimal("0.10"), "r_score": r,
                "f_score": f, "m_score": m, "rfm_score": r + f + m,
                "rfm_bins": min(5, (r + f + m) // 3), "has_demographics": key % 2 == 1,
            }
        )  # fmt: skip
    return rows


def release_rows(number: int) -> dict[str, list[Row]]:
    households = household_rows(number)
    spend = {section: Decimal("1.25") for section in SECTIONS}
    summaries = [{**SUMMARY}]
    for row in households[1:]:
        if row["has_demographics"]:
            summaries.append({
                **SUMMARY, "index": len(summaries), "household_key": row["household_key"],
                "single_couple_family": None,
            })  # fmt: skip
    campaigns = [
        {
            "campaign": campaign, "campaign_type": kind, "start_day": 587, "end_day": 642,
            "first_day": first, "last_day": last, "duration_days": 56, "days_before": 56,
            "days_after": 56, "products": 3, "sales_before": Decimal("10.50"),
            "sales_during": Decimal("20.00"), "sales_after": Decimal("0.00"),
            "households_targeted": 12, "households_redeeming": 2, "redemptions": number,
        }
        for campaign, kind, first, last in [
            (3, "TypeB", None, None), (8, None, 587, 642), (18, "TypeA", 587, 642),
            (26, "TypeB", 587, 642), (30, "TypeC", 587, 642),
        ]
    ]  # fmt: skip
    return {
        "household_rfm": households,
        "hh_summary": summaries,
        "daily_hh_spend": [
            {"day": day, "household_key": key, **spend, "total_sales": Decimal("18.75")}
            for key in (1, 2)
            for day in range(102, 102 + 7 * key, 3)
        ],
        "household_weekly_sales": [
            {"household_key": key, "week_no": week, "baskets": number, "lines": 3, "quantity": 4,
             "total_sales": Decimal("9.99")}
            for key in (1, 2)
            for week in range(16, 31)
        ],
        "campaign_summary": campaigns,
        "daily_campaign_sales": [
            {"day": day, "campaign": 18, "lines": 2, "quantity": number,
             "total_sales": Decimal("5.00")}
            for day in range(587, 600)
        ],
        "products": [],
        "promotion_effect": [],
    }  # fmt: skip


def make_schema_of_releases(connection: psycopg.Connection) -> None:
    connection.execute(f"""
        create schema release;
        create table release.current (
            domain text primary key, number integer not null, switched_at timestamptz not null
        );
        create table release.releases (
            domain text, number integer, released_at timestamptz, engine text,
            dbt_invocation text, git_commit text, rows bigint, seconds double precision,
            primary key (domain, number)
        );
        grant usage on schema release to {READER_ROLE};
        grant select on all tables in schema release to {READER_ROLE};
    """)


def write_release(connection: psycopg.Connection, number: int) -> None:
    """Writes the tables of a release; nobody sees it yet."""
    schema = f"household__r{number}"
    connection.execute(f"create schema {schema}")
    rows = release_rows(number)
    for name, model in contracts().items():
        columns = ", ".join(f'"{one["name"]}" {one["data_type"]}' for one in model["columns"])
        keys = ", ".join(primary_key(model))
        connection.execute(f"create table {schema}.{name} ({columns}, primary key ({keys}))")
        for row in rows[name]:
            names = ", ".join(f'"{column}"' for column in row)
            places = ", ".join(["%s"] * len(row))
            connection.execute(
                f"insert into {schema}.{name} ({names}) values ({places})", list(row.values())
            )
        for index in model["config"]["meta"]["serving"]["indexes"]:
            connection.execute(f"create index on {schema}.{name} ({', '.join(index)})")
    connection.execute(
        "insert into release.releases (domain, number, released_at) "
        "values ('household', %s, now())",
        [number],
    )
    connection.execute(f"grant usage on schema {schema} to {READER_ROLE}")
    connection.execute(f"grant select on all tables in schema {schema} to {READER_ROLE}")


def switch(connection: psycopg.Connection, number: int, *, drop: int | None = None) -> None:
    """Makes a release the current one, and drops another in the same transaction."""
    with connection.transaction():
        if drop is not None:
            connection.execute(f"drop schema household__r{drop} cascade")
        connection.execute(
            "insert into release.current values ('household', %s, now()) "
            "on conflict (domain) do update set number = excluded.number, switched_at = now()",
            [number],
        )
        connection.execute("select pg_notify('release', %s)", [f"household:{number}"])


def drop_releases(connection: psycopg.Connection) -> None:
    connection.execute("drop schema if exists release cascade")
    found = connection.execute(
        "select nspname from pg_namespace where nspname like 'household__r%'"
    )
    for (schema,) in found.fetchall():
        connection.execute(f"drop schema {schema} cascade")


@contextmanager
def embedded_store() -> Iterator[tuple[Settings, ServingStore]]:
    """A store of its own with the reader's role and nothing else, gone afterwards."""
    folder = tempfile.mkdtemp(prefix="px", dir="/tmp")
    settings = Settings(data_dir=Path(folder), database_url=None, api_keys="", api_port=free_port())
    store = open_serving_store(settings)
    assert store.embedded is not None
    try:
        with store.connect(autocommit=True) as connection:
            connection.execute(f"create role {READER_ROLE} login")
        yield settings, store
    finally:
        store.embedded.stop()
        store.embedded.leave()
        shutil.rmtree(store.embedded.home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of an app that uvicorn serves from a thread, as the real server does."""
    server = uvicorn.Server(configure(app))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), seconds=20)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=15) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=20)


SERVE = """
import sys
from pollux.runtime.settings import Settings
from services.api.server import run
run(Settings.model_validate_json(sys.argv[1]))
"""


@contextmanager
def running_server(settings: Settings) -> Iterator[httpx.Client]:
    """The real server in a process of its own, and a client of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, settings.model_dump_json(exclude={"database_url"})],
        cwd=PROJECT_DIR,
        env={name: value for name, value in os.environ.items() if not name.startswith("POLLUX_")},
    )
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        with httpx.Client(base_url=url, timeout=15) as client:
            wait_until(lambda: process.poll() is not None or _is_up(client), seconds=30)
            assert process.poll() is None
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/healthz").status_code == 200
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def problem(answer: httpx.Response, status: int, kind: str) -> Row:
    """The problem document of an answer, which must be one of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:pollux:problem:{kind}"
    assert document["status"] == status
    assert {"title", "detail", "instance"} <= set(document)
    return document
