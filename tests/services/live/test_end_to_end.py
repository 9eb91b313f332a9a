"""From a till to an answer, through the processes that serve: the release's own models compute."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal

import httpx
import pytest

from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR, Pollux
from tests.services.api.support import wait_until
from tests.support.programs import free_port

pytestmark = pytest.mark.integration

# Within the study's days.
DAY = 705
SALES = Decimal("12.34")
# On a machine that does much else, too.
LATEST_SECONDS = 60


@contextmanager
def serving(settings: Settings) -> Iterator[dict[str, httpx.Client]]:
    """Event service, live rows and API of an installation; a client of each."""
    ports = {name: free_port() for name in ("events", "live", "api")}
    environment = os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "POLLUX_API_KEYS": "",
        "TESTING_NO_MQTT": "true",
        **{f"POLLUX_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    with ExitStack() as stack:
        clients = {}
        for name, port in ports.items():
            command = [sys.executable, "-m", "cli.main", "serve", name]
            process = subprocess.Popen(command, env=environment, cwd=PROJECT_DIR)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            url = f"http://127.0.0.1:{port}"
            clients[name] = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        for client in clients.values():
            wait_until(lambda one=client: _is_up(one), seconds=120)
        yield clients


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_purchase_is_answered_and_then_in_the_release(released: Settings, pollux: Pollux) -> None:
    with serving(released) as clients:
        api = clients["api"]
        wait_until(lambda: clients["live"].get("/readyz").status_code == 200, seconds=60)
        (first,) = api.get("/v1/households?limit=1&has_demographics=true").json()["data"]
        path = f"/v1/households/{first['household_key']}"
        product = api.get("/v1/households/products?department=GROCERY&limit=1").json()["data"][0]
        before = {one: api.get(one).json() for one in (path, f"{path}/summary")}
        line = {"product_id": product["product_id"], "quantity": 1, "sales_value": str(SALES)}
        basket = {
            "event_id": "till-1",
            "household_key": first["household_key"],
            "basket_id": 99_000_000_001,
            "day": DAY,
            "lines": [line],
        }
        assert clients["events"].post("/v1/purchases", json=basket).status_code == 200
        wait_until(lambda: "X-Pollux-Freshness" in api.get(path).headers, seconds=LATEST_SECONDS)

        after = {one: api.get(one).json() for one in before}
        assert after[path]["baskets"] == before[path]["baskets"] + 1
        for one, document in after.items():
            assert document.keys() == before[one].keys()
            sales = Decimal(str(document["total_sales"])) - Decimal(str(before[one]["total_sales"]))
            assert sales == SALES, one
            assert api.get(one, params={"live": "false"}).json() == before[one]

        # Sent again in another event it replaces itself.
        assert (
            clients["events"]
            .post(
                "/v1/purchases",
                json=basket | {"event_id": "till-2", "lines": [line | {"sales_value": "1"}]},
            )
            .status_code
            == 200
        )
        wait_until(
            lambda: (
                Decimal(str(api.get(path).json()["total_sales"]))
                == Decimal(str(before[path]["total_sales"])) + 1
            ),
            seconds=LATEST_SECONDS,
        )
        live = api.get(path).json()
        done = pollux(released, "build", "--domain", "household")
        assert done.returncode == 0, done.stderr
        wait_until(
            lambda: "X-Pollux-Freshness" not in api.get(path).headers, seconds=LATEST_SECONDS
        )
        built = api.get(path).json()
        assert api.get(path).headers["X-Pollux-Release"] == "household-2"
        for name in ("baskets", "total_sales", "first_day", "last_day", "baskets_per_day"):
            assert built[name] == live[name], name
