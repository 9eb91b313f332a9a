"""How long it takes from a purchase to the answer that shows it, and what one costs.

Belongs here: the speed claims of live answers. Does not belong here: how the households come to be
(`live_site`), of which a build makes a thousand only.

Purchases come over MQTT, as tills send them, each of another household in turn; of some, a client
asks for the household's document until its baskets have grown. Broker, event service, updater, API,
PostgreSQL and the clients share one machine.

Each part runs alone, and smaller: `python -m benchmarks.bench_live cost --scale 0.1 --sizes 1000`.
"""

import argparse
import asyncio
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import CollectorRegistry

from benchmarks.bench_events import (
    ANSWERS,
    FOCUS,
    SHOP,
    Held,
    Site,
    prepare_offers,
    run_mosquitto,
    run_process,
    run_worker,
    send_load,
)
from benchmarks.live_site import DAY, OWN_BASKETS, LiveSite, Service, live_site, serving
from benchmarks.measuring import figure
from pollux.runtime.live_models import LiveModels
from services.live.metrics import LiveMetrics
from services.live.updater import Updater

# Households of the build are some 1,000.
SCALE = 0.4
HOUSEHOLDS = 100_000
SIZES = (10_000, 100_000, 1_000_000)
RATE, SECONDS = 200.0, 60.0
# At which nobody waits for another's batch.
MODEST_RATE, MODEST_SECONDS = 10.0, 20.0
FOCUS_SECONDS = 30.0
BATCHES = (1, 20)
REPETITIONS, WARM = 40, 5
MEMORY_PARTS = 3
# Asking costs time, too: of so many purchases in a second is asked, and not at once.
WATCHED_RATE = 10
FIRST_ASK_SECONDS, ASK_SECONDS = 0.05, 0.02
LATEST_SECONDS = 60
TOPIC = "pollux/purchase"

Rows = Iterator[dict[str, Any]]


class Options(NamedTuple):
    """What parts are measured at: scale of the build, households, and how long."""

    scale: float = SCALE
    households: int = HOUSEHOLDS
    sizes: Sequence[int] = SIZES
    rate: float = RATE
    seconds: float = SECONDS


def run(options: Options | None = None, only: Sequence[str] = ()) -> Rows:
    """Measures all parts, or some, by one build."""
    options = options or Options()
    with live_site(options.scale) as site:
        for name in only or PARTS:
            yield from PARTS[name](site, options)


def answer(site: LiveSite, options: Options) -> Rows:
    """From a purchase to the answer that shows it, and the updater's memory meanwhile."""
    site.resize(options.households)
    with _shop(site) as (buying, updater):
        memory = [updater.memory_mib]
        waits: list[float] = []
        for _ in range(MEMORY_PARTS):
            waits += buying.run(options.rate, options.seconds / MEMORY_PARTS)
            memory.append(updater.memory_mib)
    name = f"at {options.rate:g}/s among {options.households:,} households"
    p50, p99 = _percentiles(waits)
    yield figure(f"purchase to answer, p50 {name}", p50, "ms", at_most=150)
    yield figure(f"purchase to answer, p99 {name}", p99, "ms", at_most=500)
    yield figure("purchases watched", len(waits), "")
    yield figure("memory of the updater, at the start", memory[0], "MiB")
    for part, value in enumerate(memory[1:], start=1):
        after = options.seconds * part / MEMORY_PARTS
        yield figure(f"memory of the updater, after {after:g} s", value, "MiB")


def cost(site: LiveSite, options: Options) -> Rows:
    """What a batch costs among more and more customers, and how long an answer takes."""
    found: dict[str, list[float]] = {}
    for size in options.sizes:
        site.resize(size)
        among = f"among {size:,} households"
        for batch in BATCHES:
            wall, updater, database = _batches(site, batch)
            name = f"a batch of {batch}"
            yield figure(f"{name}, {among}", wall, "ms")
            yield figure(f"{name}, {among}: time of the updater", updater, "ms")
            yield figure(f"{name}, {among}: time of PostgreSQL", database, "ms")
            found.setdefault(name, []).append(updater + database)
        with _shop(site) as (buying, _):
            buying.run(MODEST_RATE, 2)
            p50, p99 = _percentiles(buying.run(MODEST_RATE, MODEST_SECONDS))
        yield figure(f"purchase to answer at {MODEST_RATE:g}/s, p50 {among}", p50, "ms")
        yield figure(f"purchase to answer at {MODEST_RATE:g}/s, p99 {among}", p99, "ms")
    for name, spent in found.items():
        title = f"{name}, time of the processors: dearest ÷ cheapest size"
        yield figure(title, max(spent) / min(spent), "ratio", at_most=1.2)


def focus(site: LiveSite, options: Options) -> Rows:
    """Focus events as `bench_events` sends them, alone and beside purchases."""
    site.resize(options.households)
    with ExitStack() as stack:
        with site.store.connect(autocommit=True) as connection:
            connection.execute(SHOP)
        folder = site.settings.data_dir
        port, _ = stack.enter_context(run_mosquitto(folder))
        scorer = stack.enter_context(run_process(["scorer"]))
        stack.enter_context(run_worker(folder, port, scorer))
        services = stack.enter_context(serving(site.settings, "live", "api"))
        shop = Site(port, FOCUS, ANSWERS, site.store)
        prepare_offers(shop)
        seconds = min(options.seconds, FOCUS_SECONDS)
        send_load(shop, RATE, 3, "warm")
        yield from _of_focus(send_load(shop, options.rate, seconds, "alone"), "alone")
        buying = stack.enter_context(_buying(site, port, services["api"]))
        beside = _Beside(buying, options.rate, seconds)
        with beside:
            held = send_load(shop, options.rate, seconds, "beside")
        yield from _of_focus(held, f"beside {options.rate:g} purchases/s")
        p50, p99 = _percentiles(beside.waits)
        yield figure("beside focus events: purchase to answer, p50", p50, "ms")
        yield figure("beside focus events: purchase to answer, p99", p99, "ms")


PARTS: dict[str, Callable[[LiveSite, Options], Rows]] = {
    "answer": answer,
    "focus": focus,
    "cost": cost,
}


def _of_focus(held: Held, when: str) -> Rows:
    name = f"focus → prediction at {held.rate:g}/s {when}"
    for percent in (50, 99):
        yield figure(f"{name}, p{percent}", held.measured.percentile_ms(percent), "ms")
    unanswered = held.measured.sent - held.measured.answered
    yield figure(f"{name}, never answered", unanswered, "events", at_most=0)


def _batches(site: LiveSite, customers: int) -> tuple[float, float, float]:
    """Milliseconds of a batch, and of the processors: the updater's time and PostgreSQL's.

    The updater is this process's own, so that it is known what is in a batch.
    """
    households = site.choose((REPETITIONS + WARM) * customers)
    walls: list[float] = []
    ours = theirs = 0.0

    async def work() -> None:
        nonlocal ours, theirs
        updater = Updater(site.settings, site.store, LiveMetrics(CollectorRegistry()), LiveModels)
        try:
            while await updater.update("household"):
                pass
            for number in range(REPETITIONS + WARM):
                _insert(site, [next(households) for _ in range(customers)])
                database, own = _database_times(site), time.process_time()
                began = time.perf_counter()
                while await updater.update("household"):
                    pass
                wall = time.perf_counter() - began
                own = time.process_time() - own
                if number >= WARM:
                    walls.append(wall)
                    ours += own
                    # A process that has ended meanwhile is left out: its time is not known.
                    for pid, ran in _database_times(site).items():
                        theirs += ran - database.get(pid, 0.0)
        finally:
            updater.close()

    asyncio.run(work())
    return (
        1000 * statistics.median(walls),
        1000 * ours / REPETITIONS,
        1000 * theirs / REPETITIONS,
    )


def _insert(site: LiveSite, households: Sequence[int]) -> None:
    """Purchases of a line each, as the event service writes them."""
    site.bought.update(households)
    with site.store.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into events.basket_lines "
            "(event_key, line, household_key, basket_id, day, product_id, quantity, sales_value) "
            "values (gen_random_uuid(), 1, %s, %s, %s, %s, 1, 2.5)",
            [
                (household, OWN_BASKETS + next(site.numbers), DAY, site.product)
                for household in households
            ],
        )


def _database_times(site: LiveSite) -> dict[int, float]:
    """Seconds that each of PostgreSQL's processes has had so far, to the nanosecond."""
    assert site.store.embedded is not None
    number = (site.store.embedded.cluster / "postmaster.pid").read_text().split()[0]
    postmaster = psutil.Process(int(number))
    found = {}
    for process in [postmaster, *postmaster.children()]:
        # One may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            text = Path(f"/proc/{process.pid}/schedstat").read_text()
            found[process.pid] = int(text.split()[0]) / 1e9
    return found


@contextmanager
def _shop(site: LiveSite) -> Iterator[tuple["_Buying", Service]]:
    """Who buys where nothing else happens, and the updater."""
    with ExitStack() as stack:
        port, _ = stack.enter_context(run_mosquitto(site.settings.data_dir))
        services = stack.enter_context(
            serving(site.settings, "events", "live", "api", POLLUX_BROKER_PORT=str(port))
        )
        yield stack.enter_context(_buying(site, port, services["api"])), services["live"]


@contextmanager
def _buying(site: LiveSite, broker_port: int, api: Service) -> Iterator["_Buying"]:
    tills = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    # As many as are waiting for the broker.
    tills.max_inflight_messages_set(1000)
    tills.connect("127.0.0.1", broker_port)
    tills.loop_start()
    try:
        yield _Buying(site, tills, api.url)
    finally:
        tills.disconnect()
        tills.loop_stop()


class _Buying:
    """Buys over MQTT, and waits for answers that show it."""

    def __init__(self, site: LiveSite, tills: mqtt.Client, api: str) -> None:
        self._site = site
        self._tills = tills
        self._api = api
        # Nobody twice within a run, as far as there are so many.
        self._households = site.choose(round(RATE * SECONDS))

    def run(self, rate: float, seconds: float) -> list[float]:
        """Seconds from a purchase until a document shows it, of those watched."""
        return asyncio.run(self._run(rate, seconds))

    async def _run(self, rate: float, seconds: float) -> list[float]:
        waits: list[float] = []
        limits = httpx.Limits(max_connections=None)
        every = max(1, round(rate / WATCHED_RATE))
        async with (
            httpx.AsyncClient(timeout=LATEST_SECONDS, limits=limits) as client,
            asyncio.TaskGroup() as tasks,
        ):
            began = time.monotonic()
            for number in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                found = waits if number % every == 0 else None
                tasks.create_task(self._buy(client, next(self._households), found))
        return waits

    async def _buy(
        self, client: httpx.AsyncClient, household: int, waits: list[float] | None
    ) -> None:
        site = self._site
        path = f"{self._api}/v1/households/{household}"
        number = next(site.numbers)
        site.bought[household] += 1
        expected = site.bought[household]
        if waits is not None:
            released = await client.get(path, params={"live": "false"})
            expected += released.raise_for_status().json()["baskets"]
        basket = {
            "event_id": f"bench-{number}",
            "household_key": household,
            "basket_id": OWN_BASKETS + number,
            "day": DAY,
            "lines": [{"product_id": site.product, "quantity": 1, "sales_value": 2.5}],
        }
        began = time.monotonic()
        self._tills.publish(TOPIC, json.dumps(basket), qos=1)
        if waits is None:
            return
        await asyncio.sleep(FIRST_ASK_SECONDS)
        while True:
            if (await client.get(path)).json()["baskets"] >= expected:
                waits.append(time.monotonic() - began)
                return
            if time.monotonic() > began + LATEST_SECONDS:
                raise RuntimeError(f"{path} does not show a purchase")
            await asyncio.sleep(ASK_SECONDS)


class _Beside:
    """Buys in a thread, while what is within goes on."""

    def __init__(self, buying: _Buying, rate: float, seconds: float) -> None:
        self._buying = buying
        self._load = rate, seconds
        self._failures: list[Exception] = []
        self.waits: list[float] = []

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        for failure in self._failures:
            raise failure

    def _run(self) -> None:
        try:
            self.waits = self._buying.run(*self._load)
        except Exception as failure:
            self._failures.append(failure)


def _percentiles(waits: Sequence[float]) -> tuple[float, float]:
    """The 50th and 99th, in milliseconds."""
    found = sorted(waits)
    return 1000 * found[len(found) // 2], 1000 * found[len(found) * 99 // 100]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--scale", type=float, default=SCALE, help="of the sample that is built")
    parser.add_argument("--households", type=int, default=HOUSEHOLDS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the part cost")
    parser.add_argument("--rate", type=float, default=RATE, help="purchases in a second")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = vars(parser.parse_args())
    parts = given.pop("parts")
    for row in run(Options(**given), parts):
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    _main()
