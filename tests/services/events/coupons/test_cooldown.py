"""The cool-down: no coupon is offered to a customer twice within it, whoever decides."""

import asyncio
import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from pollux.runtime.serving import ServingStore
from services.events.coupons.answers import AnswerForm
from services.events.coupons.cooldown import held_back
from services.events.coupons.repository import Decision
from tests.services.events.coupons.desk import Desk, focus
from tests.services.events.doubles import connect, run, until
from tests.services.events.support import NOW, TODAY, best, who_gets

TEN = timedelta(minutes=10)
CUSTOMERS = [customer for customer in range(1, 13) if best(customer, "Boys", TODAY)][:3]
DECISIONS = """
select customer_id, event_at, coupon_id, reason, answer_id::text from events.decisions
"""


def offer(number: int, minute: float, *, customer: int = 1, coupon: int = 2) -> Decision:
    at = datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=minute)
    return Decision(
        UUID(int=number), "focus", customer, "Boys", at, TODAY, "offer", None, coupon, 0.9, None, 1,
        "m1", 0.2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "held"),
    [
        ([0, 9.9], [1]),
        ([0, 10], []),
        # Each offer counts, and one that was held back does not.
        ([0, 5, 10, 15, 20], [1, 3]),
        # Late messages: an offer forbids those before it, too.
        ([20, 15, 10, 11], [1, 3]),
    ],
)
def test_an_offer_forbids_others_around_it(minutes: list[float], held: list[int]) -> None:
    offers = [offer(number, minute) for number, minute in enumerate(minutes)]
    assert held_back(offers, {}, TEN) == {UUID(int=number) for number in held}


def test_other_customers_and_coupons_are_free() -> None:
    offers = [offer(0, 0), offer(1, 1, customer=2), offer(2, 2, coupon=1), offer(3, 3)]
    assert held_back(offers, {}, TEN) == {UUID(int=3)}
    # An event that comes again is not forbidden by itself.
    known = {(1, 2): [(offers[3].event_at, offers[3].event_key)]}
    assert held_back([offers[3]], known, TEN) == set()
    assert held_back([offers[0]], known, TEN) == {UUID(int=0)}


def test_a_burst_of_one_customer_is_one_offer(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store, cooldown=TEN).know().working() as desk:
            customer = CUSTOMERS[0]
            events = [focus(customer, ts=NOW + number) for number in range(300)]
            receipts = [desk.send("focus", event) for event in events]
            await until(lambda: all(one.count == 1 for one in receipts))
            assert len(desk.broker.published) == 1
            connection = await connect(store)
            rows = await connection.fetch(
                "select outcome, reason, count(*) from events.decisions group by 1, 2"
            )
            coupon = best(customer, "Boys", TODAY)
            assert {tuple(row) for row in rows} == {
                ("offer", None, 1),
                ("no offer", f"coupon {coupon} was offered within 10 min", 299),
            }
            # What was held back keeps its likelihood, and is no answer.
            held = await connection.fetchval(
                "select count(*) from events.decisions "
                "where coupon_id is null and prediction > 0.2 and answer_id is null"
            )
            assert held == 299
            # Repeated, each is what it was.
            again = [desk.send("focus", event) for event in events[:20]]
            await until(lambda: all(one.count == 1 for one in again))
            assert len(desk.broker.published) == 1
            await connection.close()

    run(work)


def test_several_workers_and_a_restart_keep_it(store: ServingStore) -> None:
    """Whoever decides: offers are apart, and what was held back is near one."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)

    async def work() -> None:
        form = AnswerForm("offers", every_focus=True)
        sent: dict[str, dict[str, object]] = {}
        for _ in range(2):
            desks = [Desk(store, worker=f"w{n}", form=form, cooldown=TEN).know() for n in (1, 2)]
            async with desks[0].working(), desks[1].working():
                receipts = []
                for _ in range(150):
                    event = focus(rng.choice(CUSTOMERS), ts=NOW + rng.randrange(7_200))
                    receipts.append(rng.choice(desks).send("focus", event, str(rng.random())))
                    if rng.random() < 0.05:
                        await asyncio.sleep(0)
                await until(lambda receipts=receipts: all(one.count == 1 for one in receipts))
            for desk in desks:
                sent |= {one[2]: json.loads(one[1]) for one in desk.broker.published.values()}
        connection = await connect(store)
        rows = await connection.fetch(DECISIONS)
        await connection.close()
        assert len(rows) == 300
        check(rows)
        # Each was answered with what is recorded.
        assert {key: bool(one["coupon"]) for key, one in sent.items()} == {
            row[4]: row[2] is not None for row in rows
        }

    run(work)


def check(rows: list[asyncpg.Record]) -> None:
    for customer in CUSTOMERS:
        own = [row for row in rows if row[0] == customer]
        offers = sorted(row[1] for row in own if row[2] is not None)
        assert len(offers) > 3
        assert all(later - earlier >= TEN for earlier, later in itertools.pairwise(offers))
        for row in own:
            if row[2] is None:
                assert any(abs(row[1] - offered) < TEN for offered in offers)


def test_what_a_crash_of_the_database_forgot_is_offered_all_the_same(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offer was sent: decided again, it stands, and those after it are held back."""

    async def work() -> None:
        desk = Desk(store, cooldown=TEN).know()
        connection = await connect(store)
        has_crashed = desk.crash_before_flush(connection, monkeypatch)
        async with desk.working():
            customer = who_gets("Boys")
            receipts = [desk.send("focus", focus(customer, ts=NOW + number)) for number in range(5)]
            await until(lambda: all(one.count == 1 for one in receipts))
            assert has_crashed.is_set()
            offers = "select answer_id::text from events.decisions where outcome = 'offer'"
            (offered,) = await connection.fetch(offers)
            assert set(desk.broker.ids) == {offered[0]}
            assert await connection.fetchval("select count(*) from events.decisions") == 5
        await connection.close()

    run(work)


def test_without_a_cooldown_offers_are_repeated(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            receipts = [desk.send("focus", focus(CUSTOMERS[0], ts=NOW + n)) for n in range(5)]
            await until(lambda: all(one.count == 1 for one in receipts))
            assert len(desk.broker.published) == 5

    run(work)
