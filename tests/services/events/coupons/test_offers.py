"""Offers: what a customer would be offered, from memory, from the database or scored now."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from pollux.runtime.serving import ServingStore
from services.common.releases import Release
from services.events.coupons import offers as module
from services.events.coupons.messages import StoreEvent
from services.events.coupons.offers import Choice, PreparedOffers
from services.events.coupons.repository import write_prepared_offers
from tests.services.events.coupons.desk import Desk
from tests.services.events.doubles import connect, run, until
from tests.services.events.support import CUSTOMERS, DEPARTMENTS, NOW, TODAY, best, prediction


def event(customer: int, department: str | None = None, day: date = TODAY) -> StoreEvent:
    return StoreEvent(customer, NOW, datetime.fromtimestamp(NOW, UTC), day, department)


async def prepared(desk: Desk, customer: int) -> PreparedOffers:
    found = await desk.offers.prepare(event(customer))
    assert isinstance(found, PreparedOffers)
    await desk.writer.retry(lambda connection: write_prepared_offers(connection, [found]))
    return found


def test_what_was_prepared_is_chosen_from_memory(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        assert not desk.offers.is_prepared(event(1))
        found = await prepared(desk, 1)
        assert (found.customer_id, found.event_date, *found.basis) == (1, TODAY, 1, "m1")
        assert desk.offers.is_prepared(event(1))
        for department in DEPARTMENTS:
            choice = desk.offers.ready(event(1, department))
            assert choice is not None
            assert choice.coupon_id == best(1, department, TODAY)
        assert len(desk.scorer.asked) == 1
        # Of another day or customer nothing is known.
        assert desk.offers.ready(event(1, "Boys", date(2025, 10, 10))) is None
        assert desk.offers.ready(event(2, "Boys")) is None
        desk.close()

    run(work)


def test_another_worker_reads_what_one_prepared(store: ServingStore) -> None:
    async def work() -> None:
        one, other = Desk(store).know(), Desk(store).know()
        await prepared(one, 1)
        for department in DEPARTMENTS:
            choice = await other.offers.choose(event(1, department))
            assert choice.coupon_id == best(1, department, TODAY)
        assert other.scorer.asked == []
        # With another threshold it is no offer of this one's.
        strict = Desk(store, threshold=0.99).know()
        assert (await strict.offers.choose(event(1, "Boys"))).reason == "no coupon above 0.99"
        assert strict.scorer.asked == [(1, 2)]
        for desk in (one, other, strict):
            desk.close()

    run(work)


def test_many_at_once_for_one_customer_are_one_question(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        found = await asyncio.gather(*(desk.offers.prepare(event(1)) for _ in range(20)))
        assert len(set(map(id, found))) == 1
        assert len(desk.scorer.asked) == 1
        desk.close()

    run(work)


@pytest.mark.parametrize("change", ["release", "model"])
def test_a_new_release_or_model_drops_everything(store: ServingStore, change: str) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        await prepared(desk, 1)
        connection = await connect(store)
        if change == "model":
            desk.offers.use_model("m22")
        else:
            desk.offers.use_release(Release("store", 2, None, "test"))
        assert not desk.offers.is_prepared(event(1))
        assert desk.offers.are_dropped.is_set()
        await desk.offers.drop_outdated()
        assert await connection.fetchval("select count(*) from events.contexts") == 0
        # The same again drops nothing.
        desk.offers.are_dropped.clear()
        desk.offers.use_model(desk.offers.basis.model)
        assert not desk.offers.are_dropped.is_set()
        await connection.close()
        desk.close()

    run(work)


def test_an_answer_of_a_new_model_counts_for_the_new_model(store: ServingStore) -> None:
    """The scorer may have another model before anybody asked which."""

    async def work() -> None:
        desk = Desk(store).know()
        await prepared(desk, 1)
        desk.scorer.model = "m22"
        choice = await desk.offers.choose(event(2, "Boys"))
        assert choice.coupon_id == best(2, "Boys", TODAY, "m22")
        assert desk.offers.basis.model == "m22"
        assert not desk.offers.is_prepared(event(1))
        desk.close()

    run(work)


def test_a_release_that_comes_while_scoring_is_asked_again(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        score = desk.scorer.score

        async def meanwhile(*given):
            answer = await score(*given)
            if len(desk.scorer.asked) == 1:
                desk.offers.use_release(Release("store", 1, datetime.now(UTC), "next"))
            return answer

        desk.scorer.score = meanwhile
        choice = await desk.offers.choose(event(1, "Boys"))
        assert choice.coupon_id == best(1, "Boys", TODAY)
        assert len(desk.scorer.asked) == 2
        desk.close()

    run(work)


def test_no_offer_has_a_reason(store: ServingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)

    async def work() -> None:
        desk = Desk(store).know()
        low = next(c for c in CUSTOMERS if best(c, "Women", TODAY) is None)
        choose = desk.offers.choose
        assert await choose(event(1, "Toys")) == Choice(reason="unknown department")
        assert await choose(event(127, "Boys")) == Choice(reason="unknown customer")
        assert await choose(event(1, "Men")) == Choice(reason="no coupon valid on 2025-10-09")
        assert await choose(event(low, "Women")) == Choice(
            prediction=prediction("m1", low, 7), reason="no coupon above 0.2"
        )
        assert await desk.offers.prepare(event(127)) == Choice(reason="unknown customer")
        desk.scorer.is_away = True
        assert await choose(event(3, "Boys")) == Choice(reason="the scorer did not answer")
        desk.scorer.is_away, desk.scorer.model = False, None
        assert await choose(event(3, "Boys")) == Choice(reason="no coupon-propensity model")
        # Where there is nothing to score no model is needed to say so.
        assert await choose(event(3, "Men")) == Choice(reason="no coupon valid on 2025-10-09")
        desk.offers.use_release(None)
        assert await choose(event(3, "Boys")) == Choice(reason="no release of the store")
        desk.close()

    run(work)


def test_a_department_is_found_in_any_case(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        await desk.offers.choose(event(1, "Boys"))
        for name in ("Sport", "sport", "SPORTS", "Sports"):
            assert desk.offers.spelled(name) == "Sport"
            choice = await desk.offers.choose(event(1, name))
            assert choice.coupon_id == best(1, "Sport", TODAY)
        desk.close()

    run(work)


def test_no_more_customers_are_kept_than_memory_allows(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_CUSTOMERS", 3)

    async def work() -> None:
        desk = Desk(store).know()
        for customer in (1, 2, 3, 4):
            await prepared(desk, customer)
        assert [desk.offers.is_prepared(event(c)) for c in (1, 2, 3, 4)] == [False, *[True] * 3]
        # Who is not in memory is in the database.
        asked = len(desk.scorer.asked)
        assert (await desk.offers.choose(event(1, "Boys"))).coupon_id == best(1, "Boys", TODAY)
        assert len(desk.scorer.asked) == asked
        desk.close()

    run(work)


def test_a_database_that_is_away_is_waited_for(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        await desk.offers.choose(event(1, "Boys"))
        connection = await connect(store)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name like 'pollux-%' and datname = current_database()"
        )
        choosing = asyncio.create_task(desk.offers.choose(event(2, "Boys")))
        await until(choosing.done)
        assert choosing.result().coupon_id == best(2, "Boys", TODAY)
        await connection.close()
        desk.close()

    run(work)
