"""How long it takes from a purchase to the answer that shows it, and what one costs.

Purchases come over HTTP, each of another household in turn; of some, a client asks for the
household's document until its baskets have grown. Event service, updater, API, PostgreSQL and the
clients share one machine.
"""

import asyncio
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.measuring import figure, free_port, run_pollux
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from sample.generate import generate

# A hundred thousand households.
SCALE = 40.0
RATE, SECONDS = 200, 60
# Asking costs time, too: of so many purchases in a second is asked.
WATCHED_RATE = 20
ASK_SECONDS = 0.01
START_SECONDS, LATEST_SECONDS = 120, 30
# The sample's days are those of the study.
STUDY = {"POLLUX_STUDY": "complete_journey"}
DAY = 705
PROCESSES = ("events", "live", "api")


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; most of the time goes into the build."""
    yield from measure(SCALE, RATE, SECONDS)


def measure(scale: float, rate: float, seconds: float) -> Iterator[dict[str, Any]]:
    """The figures at a scale of the sample, with so many purchases a second for so long."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "data")
        files = Path(folder) / "files"
        generate("household", files, scale=scale, seed=1)
        run_pollux(settings.data_dir, "load", "--domain", "household", "--from", str(files))
        run_pollux(settings.data_dir, "build", "--domain", "household", **STUDY)
        try:
            with _serving(settings) as (clients, updater):
                before = updater.memory_info().rss
                found = asyncio.run(_buy(clients, rate, seconds))
                grown = (updater.memory_info().rss - before) / 2**20
        finally:
            EmbeddedPostgres(settings.data_dir).stop()
    found.sort()
    yield figure("purchase to answer, p50", 1000 * found[len(found) // 2], "ms", at_most=150)
    yield figure("purchase to answer, p99", 1000 * found[len(found) * 99 // 100], "ms", at_most=500)
    yield figure("purchases watched", len(found), "")
    yield figure("memory that the updater gained", grown, "MiB")


async def _buy(urls: dict[str, str], rate: float, seconds: float) -> list[float]:
    """Seconds from the answer to a purchase until a document shows it, of those watched."""
    chance = random.Random(1)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=LATEST_SECONDS, limits=limits) as client:
        households = await _keys(client, f"{urls['api']}/v1/households", "household_key")
        product = (await _keys(client, f"{urls['api']}/v1/households/products", "product_id"))[0]
        chance.shuffle(households)
        turns = itertools.cycle(households)
        bought: Counter[int] = Counter()
        waits: list[float] = []

        async def one(number: int, household: int, *, is_watched: bool) -> None:
            path = f"{urls['api']}/v1/households/{household}"
            bought[household] += 1
            expected = 0
            if is_watched:
                known = (await client.get(path, params={"live": "false"})).json()["baskets"]
                expected = known + bought[household]
            basket = {
                "event_id": f"bench-{number}",
                "household_key": household,
                "basket_id": 99_000_000_000 + number,
                "day": DAY,
                "lines": [{"product_id": product, "quantity": 1, "sales_value": 2.5}],
            }
            began = time.monotonic()
            answer = await client.post(f"{urls['events']}/v1/purchases", json=basket)
            if answer.status_code != HTTPStatus.OK:
                raise RuntimeError(answer.text)
            while is_watched:
                if (await client.get(path)).json()["baskets"] >= expected:
                    waits.append(time.monotonic() - began)
                    return
                if time.monotonic() > began + LATEST_SECONDS:
                    raise RuntimeError(f"{path} does not show a purchase")
                await asyncio.sleep(ASK_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            began = time.monotonic()
            every = max(1, round(rate / WATCHED_RATE))
            for number in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                tasks.create_task(one(number, next(turns), is_watched=number % every == 0))
        return waits


async def _keys(client: httpx.AsyncClient, url: str, name: str) -> list[int]:
    found = (await client.get(url, params={"limit": 1000})).json()["data"]
    return [row[name] for row in found]


@contextmanager
def _serving(settings: Settings) -> Iterator[tuple[dict[str, str], psutil.Process]]:
    """The URLs of the processes, once they are up, and the updater."""
    ports = {name: free_port() for name in PROCESSES}
    environment = os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "TESTING_NO_MQTT": "true",
        **{f"POLLUX_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        started = {}
        for name in PROCESSES:
            command = [sys.executable, "-m", "cli.main", "serve", name]
            started[name] = process = subprocess.Popen(command, env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for url in urls.values():
            _wait(f"{url}/healthz")
        yield urls, psutil.Process(started["live"].pid)


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url).status_code == HTTPStatus.OK:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.1)
