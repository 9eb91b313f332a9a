"""How long it takes to erase one of a million accounts, with three releases kept.

From the request until the API answers with the account no more; then until its bytes are gone from
every file and table, with the scan that proves it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measuring import figure, free_port, run_pollux
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from sample.customer import generate_customer

SCALE = 0.5
RELEASES = REPETITIONS = 3
START_SECONDS = 60
POLL_SECONDS = 0.005
# Other accounts refer to them.
REFERRERS = """
select referrers_account_number from customer__r1.customers
where referrers_account_number is not null
group by 1 order by count(*) desc, 1 limit %s
"""


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; takes about five minutes."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "data", api_port=free_port())
        files = Path(folder) / "files"
        generate_customer(files, scale=SCALE, seed=1)
        run_pollux(settings.data_dir, "load", "--domain", "customer", "--from", str(files))
        for _ in range(RELEASES):
            run_pollux(settings.data_dir, "build", "--domain", "customer")
        try:
            yield from measure(settings)
        finally:
            EmbeddedPostgres(settings.data_dir).stop()


def measure(settings: Settings) -> Iterator[dict[str, Any]]:
    """The figures of an installation whose customer domain is released three times."""
    with open_serving_store(settings).connect() as connection:
        found = connection.execute(REFERRERS, [REPETITIONS]).fetchall()
    with _api(settings) as client:
        seconds = [_seconds_to_forget(client, account) for (account,) in found]
    yield figure("until no service answers, median", statistics.median(seconds), "s", at_most=1)
    yield figure("until no service answers, most", max(seconds), "s", at_most=1)
    ran = run_pollux(settings.data_dir, "erasures", "--finish")
    yield figure(f"until the bytes of {len(found)} are gone", ran.seconds, "s", at_most=60)
    yield figure("memory of that", ran.peak_mib, "MiB")


def _seconds_to_forget(client: httpx.Client, account: int) -> float:
    path = f"/v1/accounts/{account}"
    if client.get(path).status_code != HTTPStatus.OK:
        raise RuntimeError(f"{path} is unknown before it is erased")
    started = time.monotonic()
    client.delete(f"/v1/subjects/account/{account}").raise_for_status()
    while client.get(path).status_code != HTTPStatus.NOT_FOUND:
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


@contextmanager
def _api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of an API that runs, and is ready."""
    environment = {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "POLLUX_API_PORT": str(settings.api_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve", "api"], env=os.environ | environment
    )
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            _wait_until_ready(client)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/readyz").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
