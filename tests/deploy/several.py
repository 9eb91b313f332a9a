"""Several of each service behind a proxy, killed and restarted in turn while clients ask.

Run by `test_several` in namespaces of its own: `python -m tests.deploy.several DATA_DIR FOLDER`.
Prints what was asked, as JSON; ends with an error where an answer was not as it must be.
"""

import itertools
import json
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from orchestration.release.publish import release, rollback
from pollux.runtime.keys import KeyScope, add_key, revoke_key
from pollux.runtime.settings import Settings
from tests.services.events.survival import FOCUS, PREDICTION, Listener, Sender, eventually
from tests.support.containers import (
    AUTHORIZED,
    NGINX_URL,
    SECRETS,
    Compose,
    Container,
    environment_of,
)

SCALE = {"api": 2, "scorer": 2, "events": 3, "live": 0, "dagster": 0}
LISTS = ("/v1/households/1", "/v1/households?limit=20&sort=-total_sales", "/v1/households/7")
DEPARTMENTS = ("Boys", "Girls", "Men", "Sport", "Women")
AT = "2026-11-22T10:15:00Z"
DOMAINS = ("household", "store")
# What a revoked key and a replaced release have.
SECONDS = 1.0
# A process that was killed is away so long.
AWAY_SECONDS = 1.0
DRAIN_SECONDS = float(environment_of("api")["POLLUX_DRAIN_SECONDS"])


class Load(threading.Thread):
    """Asks again and again until it is stopped; `faults` has what was not as it must be."""

    def __init__(self, ask: Callable[[], None], pause: float = 0) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self.faults: list[str] = []
        self._ask, self._pause = ask, pause
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(self._pause):
            try:
                self._ask()
                self.asked += 1
            except Exception as error:
                self.faults.append(f"{time.strftime('%X')} {error!r}")

    def stop(self) -> None:
        self._is_over.set()
        self.join()


class Reader:
    """Reads what the API answers; every answer is of one release, and of one that is current."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.tags: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self.releases: Counter[int] = Counter()

    def ask(self) -> None:
        for path in LISTS:
            tag = self.tags.get(path, "")
            answer = self.client.get(path, headers={"If-None-Match": tag} if tag else {})
            self.statuses[answer.status_code] += 1
            if answer.status_code == 304:
                assert answer.headers["etag"] == tag
                del self.tags[path]
                continue
            assert answer.status_code == 200, answer.text
            number = int(answer.headers["x-pollux-release"].rpartition("-")[2])
            self.releases[number] += 1
            body = answer.json()
            inside = {row["baskets"] for row in body.get("data", [body])}
            assert inside == {number}, f"release {number} with rows of {inside}"
            self.tags[path] = answer.headers["etag"]


class Till:
    """Asks for offers at once; each event has its own id, so it may be sent again."""

    def __init__(self, name: str, client: httpx.Client, customers: list[int]) -> None:
        self.name, self.client, self.customers = name, client, customers
        self.numbers = itertools.count()
        self.decided: dict[str, dict[str, Any]] = {}
        # While it is set, a proxy may have lost a request: then it is sent again.
        self.may_be_lost = threading.Event()
        self.sent_again = 0

    def question(self, number: int) -> dict[str, Any]:
        return {
            "customer_id": self.customers[number % len(self.customers)],
            "department": DEPARTMENTS[number % 5],
            "at": AT,
            "event_id": f"{self.name}-{number}",
        }

    def ask(self) -> None:
        question = self.question(next(self.numbers))
        answer = self.client.post("/v1/offers", json=question)
        for _ in range(5):
            is_lost = answer.status_code == 502 and self.may_be_lost.is_set()
            # Where others keep the machine busy; it says to ask again.
            is_late = answer.status_code == 503 and "problem:not-in-time" in answer.text
            if not is_lost and not is_late:
                break
            self.sent_again += 1
            answer = self.client.post("/v1/offers", json=question)
        assert answer.status_code == 200, f"{self.name}: {answer.status_code} {answer.text}"
        found = answer.json()
        coupon = found["coupon"]
        if coupon is not None and not found["is_repeated"]:
            assert coupon["discount"] == 10 * found["release"], found
        self.decided[question["event_id"]] = found


def stamp(owner: psycopg.Connection[Any], number: int) -> None:
    """Lets rows of a release tell its number."""
    owner.execute(f"update household__r{number}.household_rfm set baskets = {number}".encode())
    owner.execute(f"update store__r{number}.coupon_info set discount = {10 * number}".encode())


def release_twice(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    for number in (1, 2):
        for domain in DOMAINS:
            assert release(settings, domain).number == number
        stamp(owner, number)
        # So that the same build is released again.
        owner.execute("update release.releases set dbt_invocation = 'an earlier one'")


@contextmanager
def loaded(*loads: Load) -> Iterator[None]:
    for load in loads:
        load.start()
    try:
        yield
    finally:
        for load in loads:
            load.stop()


def kill_and_restart(*containers: Container) -> None:
    for one in containers:
        one.kill()
    time.sleep(AWAY_SECONDS)
    for one in containers:
        one.start()
    for one in containers:
        one.wait_until_ready()


def end_and_restart(*containers: Container) -> None:
    """Ends processes by SIGTERM: each says so first, while it still answers."""
    told = time.monotonic()
    for one in containers:
        one.terminate()
    for one in containers:
        # It ends no sooner, however long a busy machine takes to tell it.
        eventually(
            lambda one=one: is_ending(one), seconds=DRAIN_SECONDS / 2, what=f"{one.url} goes on"
        )
        alive = one.ask("/healthz")
        assert alive is not None
        assert (alive.status_code, alive.headers["connection"]) == (200, "close")
    for one in containers:
        assert one.process is not None
        one.process.wait(timeout=DRAIN_SECONDS + 15)
        assert time.monotonic() - told > DRAIN_SECONDS
        one.start()
    for one in containers:
        one.wait_until_ready()


def is_ending(one: Container) -> bool:
    answer = one.ask("/readyz")
    assert answer is not None
    return answer.status_code == 503 and answer.json()["type"] == "urn:pollux:problem:ending"


def check_revoked_key(settings: Settings, apis: list[Container], proxied: httpx.Client) -> None:
    """A key that is revoked is refused by every API a second later."""
    key = add_key(settings, "till", [KeyScope.HOUSEHOLDS_READ])
    headers = {"Authorization": f"Bearer {key}"}

    def statuses() -> set[int]:
        path = "/v1/households/1"
        asked = [*(f"{one.url}{path}" for one in apis), path]
        return {proxied.get(url, headers=headers).status_code for url in asked}

    eventually(lambda: statuses() == {200}, seconds=10, what=lambda: f"{statuses()} for a new key")
    revoke_key(settings, "till")
    time.sleep(SECONDS)
    assert statuses() == {401}


def run(data_dir: Path, folder: Path) -> dict[str, Any]:
    compose = Compose({"data": data_dir}, folder, SCALE)
    url = environment_of("api")["POLLUX_DATABASE_URL"]
    settings = Settings(data_dir=data_dir, database_url=url)
    with compose.network(), psycopg.connect(url, autocommit=True) as owner:
        release_twice(settings, owner)
        rows = owner.execute("select customer_id from store__r1.customer_info order by 1 limit 15")
        customers = [customer for (customer,) in rows]
        for one in compose.all():
            one.start()
        for one in compose.all():
            one.wait_until_ready()
        context = ssl.create_default_context(cafile=str(compose.authority))

        def client(prefix: str, proxy: str = "https://localhost") -> httpx.Client:
            return httpx.Client(
                base_url=f"{proxy}{prefix}",
                headers=AUTHORIZED,
                verify=context,
                trust_env=False,
                timeout=20,
            )

        listener = Listener(1883, [PREDICTION], ("readers", SECRETS["READERS_PASSWORD"]))
        sender = Sender(1883, ("sensors", SECRETS["SENSORS_PASSWORD"]))
        readers = [Reader(client("/api")), Reader(client("/api", NGINX_URL))]
        till = Till("till", client("/events", NGINX_URL), customers)
        # Caddy up to 2.11.1, and so Debian's, asks no other for an offer where one refuses.
        other_till = Till("other", client("/events"), customers)
        other_till.may_be_lost.set()
        focused: list[str] = []

        def focus() -> None:
            number = len(focused)
            event = {
                "id": str(customers[number % len(customers)]),
                "ts": 1_795_000_000 + number,
                "dep": DEPARTMENTS[number % 5],
            }
            sender.send(FOCUS, json.dumps(event).encode(), f"sensor-{number}")
            focused.append(f"sensor-{number}")

        directions = itertools.cycle((1, 2))

        def switch() -> None:
            number = next(directions)
            for domain in DOMAINS:
                rollback(settings, domain, to=number)

        loads = [Load(reader.ask, 0.01) for reader in readers]
        loads += [
            Load(till.ask, 0.03),
            Load(other_till.ask, 0.06),
            Load(focus, 0.02),
            Load(switch, 1.5),
        ]
        api, scorer, events = (compose.containers[name] for name in ("api", "scorer", "events"))
        with loaded(*loads):
            till.may_be_lost.set()
            kill_and_restart(api[0], scorer[0], events[0])
            kill_and_restart(events[2])
            till.may_be_lost.clear()
            end_and_restart(api[1], scorer[1], events[1])
            check_revoked_key(settings, api, client("/api"))
        faults = [fault for load in loads for fault in load.faults]
        assert not faults, "\n".join(faults[:20]) + f"\n{len(faults)} faults"
        check_all_is_right(owner, (till, other_till), len(focused), listener, events)
        check_tags_are_equal(api)
        assert client("").get("/").status_code == 200
        for one in (sender, listener):
            one.close()
        return {
            "reads": sum((reader.statuses for reader in readers), Counter()),
            "releases": sum((reader.releases for reader in readers), Counter()),
            "offers": {one.name: len(one.decided) for one in (till, other_till)},
            "sent again": {one.name: one.sent_again for one in (till, other_till)},
            "events": len(focused),
            "switches": loads[-1].asked,
        }


def check_all_is_right(
    owner: psycopg.Connection[Any],
    tills: Sequence[Till],
    focused: int,
    listener: Listener,
    workers: list[Container],
) -> None:
    """Every event is decided once, every offer is sent, and all workers say the same."""
    asked = sum(len(till.decided) for till in tills) + focused

    def decided() -> int:
        row = owner.execute("select count(*) from events.decisions where kind = 'focus'").fetchone()
        assert row is not None
        return int(row[0])

    eventually(lambda: decided() >= asked, seconds=30, what=lambda: f"{decided()} of {asked}")
    time.sleep(0.5)
    assert decided() == asked
    rows = owner.execute("select answer_id from events.outbox")
    due = {str(one) for (one,) in rows}
    assert due
    eventually(
        lambda: listener.ids() >= due,
        seconds=30,
        what=lambda: f"{len(due - listener.ids())} of {len(due)} answers did not come",
    )
    for till in tills:
        for event_id, before in itertools.islice(till.decided.items(), 0, None, 20):
            question = till.question(int(event_id.rpartition("-")[2]))
            for worker in workers:
                answer = httpx.post(
                    f"{worker.url}/v1/offers", json=question, headers=AUTHORIZED, trust_env=False
                ).json()
                assert answer["is_repeated"]
                for name in ("outcome", "release", "event_key"):
                    assert answer[name] == before[name]
    latest = [worker.ask("/v1/offers?limit=50") for worker in workers]
    assert len({one.text for one in latest if one is not None}) == 1


def check_tags_are_equal(apis: list[Container]) -> None:
    """A client may revalidate at one API what it has from another."""
    for path in LISTS:
        answers = [one.ask(path) for one in apis]
        assert len({(one.headers["etag"], one.content) for one in answers if one}) == 1


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), Path(sys.argv[2]))))
