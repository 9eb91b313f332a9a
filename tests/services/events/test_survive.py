"""Kills while events flow: each event is decided once, and every offer arrives."""

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.services.events.survival import (
    CODE,
    CODE_LINE,
    CONVERSION,
    CUSTOMERS,
    DAY,
    DEPARTMENTS,
    FOCUS,
    LOYALTY,
    NOON,
    PREDICTION,
    Listener,
    Sender,
    Shop,
    eventually,
    expected_coupon,
    open_shop,
)

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

SETTLE_SECONDS = 180
TWICE = 0.02
# What a killed broker may lose: its last second, and what writing it takes.
LOST_SECONDS = 2

DECISIONS = """
select
    customer_id, cast(extract(epoch from event_at) as bigint), event_date, department, outcome,
    coupon_id, cast(answer_id as text)
from events.decisions
where kind = 'focus'
"""


class Focus(NamedTuple):
    """A focus event; no two have the same time."""

    customer_id: int
    ts: int
    department: str

    @property
    def payload(self) -> bytes:
        return json.dumps(
            {"id": str(self.customer_id), "ts": self.ts, "dep": self.department}
        ).encode()


@pytest.fixture
def shop(short_tmp: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    with open_shop(short_tmp / f"s{abs(hash(request.node.nodeid)) % 10**8}") as found:
        yield found


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    return random.Random(seed)


def focuses(rng: random.Random, count: int) -> list[Focus]:
    return [
        Focus(rng.randint(1, CUSTOMERS), NOON + number, rng.choice(DEPARTMENTS))
        for number in range(count)
    ]


class Flow(threading.Thread):
    """Sends focus events at a steady rate until it is stopped."""

    def __init__(self, rng: random.Random, sender: Sender, *, per_second: float) -> None:
        super().__init__()
        # Every event that was sent, with the number of its message.
        self.sent: dict[Focus, int] = {}
        self._rng = random.Random(rng.random())
        self._sender = sender
        self._per_second = per_second
        self._is_over = threading.Event()

    def run(self) -> None:
        rng = self._rng
        while not self._is_over.wait(1 / self._per_second):
            at = NOON + len(self.sent)
            event = Focus(rng.randint(1, CUSTOMERS), at, rng.choice(DEPARTMENTS))
            event_id = f"{rng.getrandbits(64):016x}"
            for _ in range(2 if rng.random() < TWICE else 1):
                number = self._sender.send(FOCUS, event.payload, event_id)
            self.sent[event] = number

    def stop(self) -> list[Focus]:
        """Ends the flow once the broker has everything; returns the events."""
        self._is_over.set()
        self.join()
        self._sender.wait()
        return list(self.sent)


@contextmanager
def flowing(
    rng: random.Random, sender: Sender, events: Sequence[Focus], *, per_second: float
) -> Iterator[threading.Thread]:
    """Sends events at a steady rate while the block runs and until all are with the broker."""
    ids = [f"{rng.getrandbits(64):016x}" for _ in events]
    twice = {number for number in range(len(events)) if rng.random() < TWICE}

    def send() -> None:
        started = time.monotonic()
        for number, event in enumerate(events):
            time.sleep(max(0.0, started + number / per_second - time.monotonic()))
            for _ in range(2 if number in twice else 1):
                sender.send(FOCUS, event.payload, ids[number])

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    sender.wait()


def wait_for_all(shop: Shop, events: Sequence[Focus], listener: Listener) -> None:
    """Waits until everything is decided, published and heard."""
    eventually(
        lambda: shop.count("from events.decisions") >= len(events),
        seconds=SETTLE_SECONDS,
        what=lambda: f"{shop.count('from events.decisions')} of {len(events)} are decided",
    )
    eventually(
        lambda: shop.count("from events.outbox where published_at is null") == 0,
        seconds=SETTLE_SECONDS,
        what=lambda: f"unpublished: {shop.query('select * from events.outbox limit 3')}",
    )
    offers = shop.count("from events.decisions where answer_id is not null")
    eventually(
        lambda: len(listener.ids()) >= offers,
        seconds=SETTLE_SECONDS,
        what=lambda: f"{len(listener.ids())} of {offers} offers are heard",
    )


def check(shop: Shop, events: Sequence[Focus], listener: Listener) -> None:
    """One decision for each event, the right one; each offer heard, under one id of its own."""
    wait_for_all(shop, events, listener)
    rows = shop.query(DECISIONS)
    found = {(customer, ts): rest for customer, ts, *rest in rows}
    assert len(found) == len(rows) == len(events)
    answers = check_decisions(found, events)
    keys = "select cast(event_key as text) from events."
    assert set(shop.query(keys + "inbox")) == set(shop.query(keys + "decisions"))
    heard: dict[str, bytes] = {}
    for one in listener.heard:
        assert heard.setdefault(one.answer_id, one.payload) == one.payload
    assert set(heard) == set(answers)
    for answer, payload in heard.items():
        message = json.loads(payload)
        said = int(message["customer"]["id"]), message["ts"], int(message["coupon"]["id"])
        assert said == answers[answer]
    assert shop.count("from events.dead_letter") == 0
    repeats = len(listener.heard) - len(heard)
    print(f"{len(events)} events, {len(heard)} offers, {repeats} of them heard again")


def check_decisions(
    found: dict[tuple[int, int], list[Any]], events: Sequence[Focus]
) -> dict[str, tuple[int, int, int]]:
    """Every event has the right decision; returns customer, time and coupon by offer."""
    answers: dict[str, tuple[int, int, int]] = {}
    for event in events:
        day, department, outcome, coupon, answer = found[event.customer_id, event.ts]
        expected = expected_coupon(event.customer_id, event.department)
        assert (day, department) == (DAY, event.department)
        assert (outcome, coupon) == ("no offer" if expected is None else "offer", expected)
        assert (answer is None) == (expected is None)
        if answer is not None:
            assert answer not in answers
            answers[answer] = (event.customer_id, event.ts, coupon)
    return answers


def test_worker_killed_at_random_moments(shop: Shop, kill_loop) -> None:
    loop = kill_loop("event worker")
    listener = shop.listener([PREDICTION])
    worker, successor = shop.worker().start_and_wait(), shop.worker()
    flow = Flow(loop.rng, shop.sender(), per_second=60)
    flow.start()
    for _ in loop.tries():
        if loop.rng.random() < 0.7:
            eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)
        # The moment itself: at work, or (of those that are not ready) while it starts.
        time.sleep(loop.rng.uniform(0, 0.7))
        worker.kill()
        loop.count_kill()
        worker, successor = successor.start(), shop.worker()
    check(shop, flow.stop(), listener)
    assert worker.is_running()


def test_broker_killed_at_random_moments(shop: Shop, kill_loop) -> None:
    """It may lose what it took in its last second, as documented, and nothing else."""
    loop = kill_loop("broker")
    listener = shop.listener([PREDICTION])
    worker = shop.worker().start_and_wait()
    sender = shop.sender()
    flow = Flow(loop.rng, sender, per_second=60)
    flow.start()
    # Sessions are on the disk by then.
    time.sleep(LOST_SECONDS)
    # When it was killed, and started again.
    away = []
    for _ in loop.tries():
        # Often too soon for the disk, at times long after.
        time.sleep(loop.rng.choice([1, 1, 1, 5]) * loop.rng.uniform(0, 1))
        killed_at = time.time()
        shop.broker.kill()
        loop.count_kill()
        time.sleep(loop.rng.uniform(0, 0.5))
        away.append((killed_at, time.time()))
        shop.broker.start()
        if loop.rng.random() < 0.7:
            eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)

    def may_be_lost(told_at: float, late: float = 0) -> bool:
        """Whether a broker that was killed right after had told that it has the message."""
        return any(begin - LOST_SECONDS <= told_at <= end + late for begin, end in away)

    flow.stop()
    eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)
    kept = {e for e, number in flow.sent.items() if not may_be_lost(sender.acknowledged_at[number])}

    def undecided() -> set[tuple[int, int]]:
        decided = {(customer, ts) for customer, ts, *_ in shop.query(DECISIONS)}
        return {(event.customer_id, event.ts) for event in kept} - decided

    eventually(lambda: not undecided(), seconds=SETTLE_SECONDS, what=undecided)
    answers = "select cast(answer_id as text), extract(epoch from published_at) from events.outbox"

    def unheard() -> set[str]:
        return {
            answer
            for answer, published_at in shop.query(answers)
            # The worker notes it a little later.
            if published_at is None or not may_be_lost(float(published_at), 1)
        } - listener.ids()

    eventually(lambda: not unheard(), seconds=SETTLE_SECONDS, what=unheard)
    found = {(customer, ts): rest for customer, ts, *rest in shop.query(DECISIONS)}
    assert len(found) == shop.count("from events.decisions")
    decided = [event for event in flow.sent if (event.customer_id, event.ts) in found]
    assert len(decided) == len(found)
    check_decisions(found, decided)
    lost = len(flow.sent) - len(decided)
    print(f"{lost} of {len(flow.sent)} events lost, {len(flow.sent) - len(kept)} might have been")
    assert worker.is_running()


def test_broker_restarted(shop: Shop, rng: random.Random) -> None:
    listener = shop.listener([PREDICTION])
    worker = shop.worker().start_and_wait()
    events = focuses(rng, 2_000)
    with flowing(rng, shop.sender(), events, per_second=200):
        for _ in range(4):
            time.sleep(rng.uniform(0.5, 2))
            shop.broker.stop()
            time.sleep(rng.uniform(0, 1))
            shop.broker.start()
            eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)
    check(shop, events, listener)
    assert worker.is_running()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_database_away_for_10_seconds(shop: Shop, rng: random.Random, how: str) -> None:
    listener = shop.listener([PREDICTION])
    worker = shop.worker().start_and_wait()
    database = shop.store.embedded
    assert database is not None
    events = focuses(rng, 2_000)
    with flowing(rng, shop.sender(), events, per_second=100):
        time.sleep(rng.uniform(1, 2))
        if how == "killed":
            database.kill()
        else:
            database.stop()
        time.sleep(10)
        assert not worker.is_ready()
        database.use()
        eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)
    check(shop, events, listener)
    assert worker.is_running()


def test_database_killed_at_random_moments(shop: Shop, kill_loop) -> None:
    loop = kill_loop("PostgreSQL of events")
    listener = shop.listener([PREDICTION])
    worker = shop.worker().start_and_wait()
    database = shop.store.embedded
    assert database is not None
    flow = Flow(loop.rng, shop.sender(), per_second=60)
    flow.start()
    for _ in loop.tries():
        time.sleep(loop.rng.uniform(0.1, 0.8))
        database.kill()
        loop.count_kill()
        database.use()
        if loop.rng.random() < 0.7:
            eventually(worker.is_ready, seconds=SETTLE_SECONDS, what=worker.text)
    check(shop, flow.stop(), listener)
    assert worker.is_running()


def test_two_workers_share_the_load(shop: Shop, rng: random.Random) -> None:
    listener = shop.listener([PREDICTION])
    workers = [shop.worker().start_and_wait(), shop.worker().start_and_wait()]
    assert {worker.number() for worker in workers} == {1, 2}
    events, sender = focuses(rng, 6_000), shop.sender()
    with flowing(rng, sender, events[:2_000], per_second=150):
        for _ in range(5):
            successor = shop.worker()
            time.sleep(rng.uniform(0, 1))
            place = rng.randrange(2)
            workers[place].kill()
            time.sleep(rng.uniform(0, 0.5))
            workers[place] = successor.start_and_wait()

    def shares() -> Counter[int]:
        return Counter(worker for (worker,) in shop.query("select worker from events.inbox"))

    sent = 2_000
    # Where they took long to start again, most of these came meanwhile: then more come.
    while (len(shares()) < 2 or min(shares().values()) <= 100) and sent < len(events):
        with flowing(rng, sender, events[sent : sent + 200], per_second=150):
            sent += 200
    check(shop, events[:sent], listener)
    found = shares()
    print(f"shares: {dict(found)}")
    assert len(found) == 2
    assert min(found.values()) > 100


def test_two_workers_that_are_killed_keep_the_cooldown(shop: Shop, rng: random.Random) -> None:
    """No coupon twice within it, none held back without reason, and every event is answered."""
    cooldown = 120
    settings = {
        "POLLUX_COUPON_COOLDOWN_MINUTES": str(cooldown / 60),
        "POLLUX_ANSWER_EVERY_FOCUS": "true",
    }
    listener = shop.listener([PREDICTION])
    workers = [shop.worker(**settings).start_and_wait() for _ in range(2)]
    customers = [number for number in range(1, CUSTOMERS) if expected_coupon(number, "Boys")][:3]
    events = [Focus(rng.choice(customers), NOON + number, "Boys") for number in range(1_500)]
    with flowing(rng, shop.sender(), events, per_second=150):
        for _ in range(5):
            successor = shop.worker(**settings)
            time.sleep(rng.uniform(0, 1))
            place = rng.randrange(2)
            workers[place].kill()
            workers[place] = successor.start_and_wait()
    wait_for_all(shop, events, listener)
    rows = shop.query(DECISIONS)
    assert len(rows) == len(events)
    for customer in customers:
        own = [row for row in rows if row[0] == customer]
        offered = sorted(row[1] for row in own if row[5] is not None)
        assert len(offered) > 3
        gaps = [later - earlier for earlier, later in itertools.pairwise(offered)]
        assert min(gaps) >= cooldown
        for _, ts, *_, coupon, _ in own:
            assert coupon or any(abs(ts - other) < cooldown for other in offered)
    heard = {one.answer_id: json.loads(one.payload)["coupon"] for one in listener.heard}
    assert {answer: coupon is not None for answer, coupon in heard.items()} == {
        row[6]: row[5] is not None for row in rows
    }


def test_what_waits_for_a_worker_that_stays_away_goes_to_the_other(
    shop: Shop, rng: random.Random
) -> None:
    listener = shop.listener([PREDICTION])
    patience = {"POLLUX_EVENTS_TAKEOVER_SECONDS": "3"}
    worker, other = shop.worker(**patience).start_and_wait(), shop.worker()
    events = focuses(rng, 1_600)
    sender = shop.sender()
    with flowing(rng, sender, events[:1_000], per_second=150):
        other.start_and_wait()
        eventually(
            lambda: "is subscribed to $share/" in worker.text(),
            seconds=SETTLE_SECONDS,
            what=worker.text,
        )
        time.sleep(rng.uniform(0, 1))
        other.kill()
    # Its share has been waiting; of what comes now, all goes to the one that is there.
    decided = "from events.decisions"
    eventually(lambda: shop.count(decided) == 1_000, seconds=SETTLE_SECONDS, what=worker.text)
    eventually(
        # First alone, then shared, then alone again.
        lambda: worker.text().count("is subscribed to pollux/entry") == 2,
        seconds=SETTLE_SECONDS,
        what=worker.text,
    )
    with flowing(rng, sender, events[1_000:], per_second=200):
        # A broker may forget what was shared, not what one alone has subscribed to.
        shop.broker.stop()
        shop.broker.start()
    eventually(lambda: shop.count(decided) == 1_600, seconds=SETTLE_SECONDS, what=worker.text)
    check(shop, events, listener)


def test_loyalty_and_conversions_in_order_when_their_worker_dies(
    shop: Shop, rng: random.Random
) -> None:
    listener = shop.listener([CODE, CODE_LINE])
    workers = [shop.worker().start_and_wait(), shop.worker().start_and_wait()]
    sender = shop.sender()
    people = [f"person{number}@example.com" for number in range(40)]
    members, codes, expected, lines = {"old@example.com"}, set(), [], []
    for number in range(1_500):
        email = rng.choice([*people, "old@example.com"])
        promotion, kind = f"P{rng.randrange(3)}", rng.choice(["click", "click", "purchase", "list"])
        if kind == "list":
            members.add(email)
        sends = kind == "click" and email in members and (promotion, email) not in codes
        if sends:
            codes.add((promotion, email))
        joins = kind == "purchase" and email not in members
        if joins:
            members.add(email)
        detail = "web" if kind == "click" else str(number)
        total = f",{number}.50" if kind == "purchase" else ""
        if kind == "list":
            lines.append((LOYALTY, f"{email},fb,insta,F"))
        else:
            lines.append((CONVERSION, f"{promotion},{kind},{email},{detail}{total}"))
            expected.append((number, email, sends, joins))
    holders = []
    for number, (topic, line) in enumerate(lines):
        if number % 300 == 150:
            holder = next(w for w in workers if "takes the loyalty list" in w.text())
            other = workers[1 - workers.index(holder)]
            eventually(
                lambda: shop.count("from events.conversions") > 0,
                seconds=SETTLE_SECONDS,
                what=other.text,
            )
            holder.kill()
            holders.append(holder.pid)
            eventually(
                lambda: "takes the loyalty list" in other.text(),  # noqa: B023
                seconds=SETTLE_SECONDS,
                what=other.text,
            )
            workers = [other, shop.worker().start_and_wait()]
        sender.send(topic, line.encode(), f"line-{number}")
    sender.wait()
    rows = "from events.conversions"
    eventually(
        lambda: shop.count(rows) >= len(expected),
        seconds=SETTLE_SECONDS,
        what=lambda: f"{shop.count(rows)} of {len(expected)} conversions are there",
    )
    eventually(
        lambda: shop.count("from events.outbox where published_at is null") == 0,
        seconds=SETTLE_SECONDS,
        what="unpublished answers are left",
    )
    assert len(holders) == 5
    found = shop.query(
        "select email, is_code_sent, is_new_member from events.conversions order by number"
    )
    assert found == [(email, sends, joins) for _, email, sends, joins in expected]
    assert shop.count("from events.loyalty_list") == len(lines) - len(expected)
    asked = set(shop.query("select promotion, email from events.promo_codes"))
    assert asked == codes
    answers = {one.answer_id: one for one in listener.heard}
    count = Counter(one.topic for one in answers.values())
    assert count == {CODE: len(codes), CODE_LINE: len(expected)}
    for one in listener.heard:
        assert answers[one.answer_id].payload == one.payload
