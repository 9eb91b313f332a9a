"""Offers at once: the decision of MQTT, recorded once, or the problem in its way."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pollux.runtime.serving import ServingStore
from services.common.problems import ProblemError
from services.common.releases import Release
from services.events.coupons import offers as module
from services.events.coupons.catalogue import CouponDocument
from services.events.coupons.instant import Instant, Question
from tests.services.events.coupons.desk import Desk, focus
from tests.services.events.doubles import connect, run, until
from tests.services.events.support import (
    COUPONS,
    CUSTOMERS,
    DEPARTMENTS,
    NOW,
    TODAY,
    best,
    prediction,
    release_store,
    who_gets,
)

AT = datetime.fromtimestamp(NOW, UTC)
COUNT = "select count(*) from events.decisions"


def best_of_all(customer: int) -> tuple[str, int] | None:
    """Department and coupon to offer, by looking at every one of them."""
    found = [(name, best(customer, name, TODAY)) for name in DEPARTMENTS]
    offers = [(name, coupon) for name, coupon in found if coupon is not None]
    ranked = sorted(offers, key=lambda one: (-prediction("m1", customer, one[1]), one[1]))
    return ranked[0] if ranked else None


async def problem_of(desk: Desk, asked: Question, **more: Any) -> tuple[int, str, str]:
    with pytest.raises(ProblemError) as caught:
        await desk.instant.decide(asked, **more)
    return int(caught.value.status), caught.value.kind, caught.value.detail


def test_it_is_the_decision_of_mqtt(store: ServingStore) -> None:
    """The same rows but for their keys; nothing waits for the broker."""
    columns = (
        "kind, customer_id, department, event_at, event_date, outcome, reason, coupon_id, "
        "prediction, release, model, threshold"
    )

    async def work() -> None:
        async with Desk(store).know().working() as desk:
            places = [(c, d) for c in CUSTOMERS for d in ("Boys", "Girls", "Men", "Sports")]
            receipts = [desk.send("focus", focus(c, d)) for c, d in places]
            await until(lambda: all(one.count for one in receipts))
            connection = await connect(store)
            rows = f"select {columns} from events.decisions"
            by_mqtt = {tuple(row) for row in await connection.fetch(rows)}
            sent = len(desk.broker.published)
            await connection.execute("truncate events.decisions, events.inbox")
            for customer, department in places:
                found = await desk.instant.decide(Question(customer, department, AT))
                expected = best(customer, department.replace("Sports", "Sport"), TODAY)
                assert found.decision.coupon_id == expected
                coupon = None if found.coupon is None else json.loads(found.coupon.body)
                assert (coupon and int(coupon["id"])) == expected
            assert {tuple(row) for row in await connection.fetch(rows)} == by_mqtt
            assert len(by_mqtt) == len(places)
            outbox = "select count(*) from events.outbox"
            assert await connection.fetchval(outbox) == len(desk.broker.published) == sent
            await connection.close()

    run(work)


@pytest.mark.parametrize("is_prepared", [False, True])
def test_without_a_department_the_best_of_all_is_offered(
    store: ServingStore, is_prepared: bool
) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            for customer in CUSTOMERS:
                if is_prepared:
                    entered = desk.send("entry", b'{"id": %d, "ts": %d}' % (customer, NOW))
                    await until(lambda entered=entered: entered.count)
                else:
                    # One department alone is in memory.
                    await desk.instant.decide(Question(customer, "Men", AT), is_dry_run=True)
                found = await desk.instant.decide(Question(customer, at=AT))
                expected = best_of_all(customer)
                assert expected is not None
                decision = found.decision
                assert (decision.department, decision.coupon_id) == expected
            asked = len(desk.scorer.asked)
            assert asked == len(CUSTOMERS)
            # On this day no department has a coupon.
            early = datetime(1976, 2, 5, tzinfo=UTC)
            decision = (await desk.instant.decide(Question(1, at=early))).decision
            assert (decision.department, decision.reason) == (None, "no coupon valid on 1976-02-05")

    run(work)


def test_a_release_that_comes_meanwhile_decides_anew(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision and the coupon shown are of one release."""
    later = [(*coupon[:3], coupon[3] + 1, *coupon[4:]) for coupon in COUPONS]
    release_store(store, 2, later)

    async def work() -> None:
        async with Desk(store).know().working() as desk:
            read = desk.offers.read_document

            async def read_late(coupon_id: int) -> CouponDocument | None:
                desk.know(Release("store", 2, None, "test"))
                return await read(coupon_id)

            monkeypatch.setattr(desk.offers, "read_document", read_late)
            found = await desk.instant.decide(Question(who_gets("Boys"), "Boys", AT))
            assert found.coupon is not None
            coupon = json.loads(found.coupon.body)
            discounts = {one[0]: one[3] for one in later}
            assert found.decision.release == 2
            assert coupon["discount"] == discounts[int(coupon["id"])]

    run(work)


def test_below_the_threshold_the_best_is_named(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store, threshold=0.99).know().working() as desk:
            decision = (await desk.instant.decide(Question(1, at=AT))).decision
            assert decision.reason == "no coupon above 0.99"
            valid = {1: "Boys", 2: "Boys", 3: "Sport", 5: "Girls", 7: "Women"}
            likelihoods = {coupon: prediction("m1", 1, coupon) for coupon in valid}
            coupon = max(likelihoods, key=lambda one: (likelihoods[one], -one))
            assert decision.prediction == likelihoods[coupon]
            assert (decision.department, decision.coupon_id) == (valid[coupon], None)

    run(work)


def test_a_dry_run_writes_nothing(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store, cooldown=timedelta(minutes=10)).know().working() as desk:
            asked = Question(who_gets("Boys"), "Boys", AT)
            tables = ("decisions", "inbox", "outbox", "contexts", "documents", "dead_letter")
            connection = await connect(store)
            dry = await desk.instant.decide(asked, is_dry_run=True)
            assert not dry.is_recorded
            for table in tables:
                assert await connection.fetchval(f"select count(*) from events.{table}") == 0
            real = await desk.instant.decide(asked)
            assert real.is_recorded
            assert (real.decision._replace(event_key=dry.decision.event_key), real.coupon) == (
                dry.decision._replace(answer_id=real.decision.answer_id), dry.coupon
            )  # fmt: skip
            # It says what would be held back.
            soon = asked._replace(at=AT + timedelta(minutes=9))
            again = await desk.instant.decide(soon, is_dry_run=True)
            coupon = real.decision.coupon_id
            assert again.decision.reason == f"coupon {coupon} was offered within 10 min"
            assert again.coupon is None
            later = asked._replace(at=AT + timedelta(minutes=10))
            assert (await desk.instant.decide(later, is_dry_run=True)).coupon == real.coupon
            assert await connection.fetchval(COUNT) == 1
            await connection.close()

    run(work)


def test_the_same_event_is_decided_once(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            asked = Question(who_gets("Boys"), "Boys", AT, "till-1")
            # At once, and after it is done; of another worker, without a scorer, too.
            found = await asyncio.gather(*(desk.instant.decide(asked) for _ in range(5)))
            again = await desk.instant.decide(asked._replace(at=None))
            async with Desk(store, worker="w2").know().working() as other:
                other.scorer.is_away = True
                theirs = await other.instant.decide(asked)
            dry = await desk.instant.decide(asked, is_dry_run=True)
            repeated: list[Instant] = [*found, again, theirs, dry]
            assert len({one.decision for one in repeated}) == 1
            assert len({one.coupon for one in repeated}) == 1
            assert all(one.is_repeated for one in (again, theirs, dry))
            connection = await connect(store)
            assert await connection.fetchval(COUNT) == 1
            # Without an id each is an event of its own.
            for _ in range(2):
                await desk.instant.decide(asked._replace(event_id=None))
            assert await connection.fetchval(COUNT) == 3
            await connection.close()

    run(work)


def test_an_event_id_means_the_same_over_mqtt(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            customer = who_gets("Boys")
            event = focus(customer)
            first = desk.send("focus", event, "a")
            # It is in hand, not decided yet.
            asked = Question(customer, "Boys", AT, "a")
            found = await desk.instant.decide(asked)
            await until(lambda: first.count)
            assert await desk.instant.decide(asked) == found._replace(is_repeated=True)
            assert len(desk.broker.published) == 1
            await desk.instant.decide(asked._replace(event_id="b"))
            second = desk.send("focus", event, "b")
            await until(lambda: second.count)
            connection = await connect(store)
            assert await connection.fetchval(COUNT) == 2
            # Who asked over HTTP has the answer.
            assert len(desk.broker.published) == 1
            await connection.close()

    run(work)


def test_an_event_id_of_another_event_is_refused(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            asked = Question(3, "Sports", AT, "a")
            await desk.instant.decide(asked)
            for other in (
                asked._replace(customer_id=4),
                asked._replace(department="Boys"),
                asked._replace(department="Toys"),
                asked._replace(at=AT + timedelta(seconds=1)),
            ):
                assert await problem_of(desk, other) == (
                    409,
                    "event-id-used",
                    (
                        "An event with this event_id was decided for another customer, department "
                        "or time."
                    ),
                )
            # Named less, it is the same.
            for same in (asked._replace(department="sport"), asked._replace(department=None)):
                assert (await desk.instant.decide(same)).is_repeated

    run(work)


def test_what_stands_in_the_way_is_a_problem_and_writes_nothing(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)

    async def work() -> None:
        async with Desk(store).know().working() as desk:
            asked = Question(1, "Boys", AT, "a")
            assert await problem_of(desk, asked._replace(customer_id=127)) == (
                404, "unknown-store-customer", "No customer 127 of the shop."
            )  # fmt: skip
            assert await problem_of(desk, asked._replace(department="Toys")) == (
                422,
                "invalid-input",
                (
                    "body department: No department is called 'Toys'; there are: Boys, Girls, Men, "
                    "Sport, Women."
                ),
            )
            for at in (AT + timedelta(days=20_000), datetime(1969, 12, 31, tzinfo=UTC)):
                status, kind, detail = await problem_of(desk, asked._replace(at=at))
                assert (status, kind) == (422, "invalid-input")
                assert detail.startswith("body at: an implausible day")
            desk.scorer.is_away = True
            for department in ("Boys", None):
                assert await problem_of(desk, asked._replace(department=department)) == (
                    503,
                    "scorer-unavailable",
                    (
                        "The coupon scorer does not answer. Nothing was decided; the service "
                        "recovers by itself."
                    ),
                )
            desk.scorer.is_away, desk.scorer.model = False, None
            status, kind, _ = await problem_of(desk, asked)
            assert (status, kind) == (503, "no-model")
            desk.offers.use_release(None)
            status, kind, _ = await problem_of(desk, asked)
            assert (status, kind) == (503, "nothing-released")
            connection = await connect(store)
            for table in ("inbox", "decisions", "dead_letter"):
                assert await connection.fetchval(f"select count(*) from events.{table}") == 0
            await connection.close()
            # So the same event can be decided when it can.
            desk.scorer.model = "m1"
            desk.know()
            assert not (await desk.instant.decide(asked)).is_repeated

    run(work)


def test_what_is_in_memory_needs_no_scorer(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            asked = Question(who_gets("Boys"), "Boys", AT)
            first = await desk.instant.decide(asked)
            desk.scorer.is_away = True
            assert (await desk.instant.decide(asked)).coupon == first.coupon

    run(work)


def test_an_explanation_is_of_the_best_coupon(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            for customer in CUSTOMERS:
                for department, coupons in (("Boys", (1, 2)), ("Women", (7,)), ("Men", ())):
                    asked = Question(customer, department, AT)
                    found = await desk.instant.decide(asked, explains=True)
                    likelihoods = {one: prediction("m1", customer, one) for one in coupons}
                    if not coupons:
                        assert found.explained is None
                        continue
                    assert found.explained is not None
                    top = max(likelihoods, key=lambda one: (likelihoods[one], -one))
                    assert found.explained.coupon_id == top
                    assert found.explained.prediction == likelihoods[top]
                    assert found.decision.prediction == likelihoods[top]
            assert (await desk.instant.decide(Question(1, at=AT), explains=True)).explained
            # A decision of another model is not explained by this one.
            known = Question(1, "Boys", AT, "a")
            assert (await desk.instant.decide(known, explains=True)).explained
            desk.scorer.model = "m22"
            assert (await desk.instant.decide(known, explains=True)).explained is None
            desk.offers.use_model("m22")
            assert (await desk.instant.decide(known, explains=True)).explained is None
            desk.scorer.is_away = True
            desk.offers.use_model("m1")
            status, kind, _ = await problem_of(desk, known, explains=True)
            assert (status, kind) == (503, "scorer-unavailable")

    run(work)


def test_a_new_release_between_choice_and_record_counts(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coupon chosen is in it no more: it is chosen again."""

    async def work() -> None:
        async with Desk(store).know().working() as desk:
            asked = Question(who_gets("Boys"), "Boys", AT)
            document, missing = desk.offers.document, [True]
            monkeypatch.setattr(
                desk.offers,
                "document",
                lambda coupon: None if missing and missing.pop() else document(coupon),
            )
            found = await desk.instant.decide(asked)
            assert not missing
            assert found.decision.coupon_id == best(asked.customer_id, "Boys", TODAY)

    run(work)
