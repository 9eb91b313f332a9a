"""The form of answers: as they always were, and what each setting adds."""

import json
from typing import Any

import pytest

from pollux.runtime.serving import ServingStore
from services.events.coupons.answers import AnswerForm
from tests.services.events.coupons.desk import Desk, focus
from tests.services.events.doubles import connect, run, until
from tests.services.events.support import NOW, TODAY, best, prediction, who_gets

OWN = ("shop/focus", "shop/entry", "offers", "codes")
REPLIES = AnswerForm(
    "offers",
    has_details=True,
    response_topics="shop/",
    own_topics=OWN,
    own_parents=("pollux/proof", "shop/releases"),
)


async def answers(
    desk: Desk, *events: bytes, event_id: str | None = None, **more: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Topic and document of every answer to these events."""
    receipts = [desk.send("focus", one, event_id, **more) for one in events]
    await until(lambda: all(one.count for one in receipts))
    return [(one[0], json.loads(one[1])) for one in desk.broker.published.values()]


def test_without_settings_an_answer_is_what_it_always_was(store: ServingStore) -> None:
    """Byte for byte; whatever the request asks for."""

    async def work() -> None:
        async with Desk(store).know().working() as desk:
            customer = who_gets("Women")
            more = {"response_topic": "shop/reply/1", "correlation_data": b"c"}
            await answers(desk, focus(customer, "Women"), event_id="a", **more)
            await answers(desk, focus(1, "Men"), event_id="b", **more)
            ((topic, payload, _),) = desk.broker.published.values()
            assert topic == "offers"
            # PostgreSQL writes the products.
            assert payload == (
                b'{"customer":{"id":"%d"},"coupon":{"id":"7","type":"just_discount",'
                b'"department":"Women","discount":15.0,"how_many":1,"start_date":"2025-01-01",'
                b'"end_date":"2025-12-31","products":[{"id" : "501", "name" : "Shirt 501", '
                b'"category" : "Shirts", "sizes" : "S-XL", "vendor" : "TinyCottons", '
                b'"description" : "A shirt", "buy_price" : 7.12, "department" : "Women"}]},"ts":%d}'
            ) % (customer, NOW)
            assert desk.broker.echoed == [(None, None)]

    run(work)


def test_every_focus_is_answered(store: ServingStore) -> None:
    async def work() -> None:
        form = AnswerForm("offers", every_focus=True)
        async with Desk(store, form=form).know().working() as desk:
            low = next(c for c in range(1, 13) if best(c, "Women", TODAY) is None)
            found = await answers(
                desk, focus(low, "Women"), focus(1, "Toys"), focus(127, "Sports"), focus(1, "Men")
            )
            none = {"coupon": None, "ts": NOW}
            expected = [
                (low, "Women", "no coupon above 0.2"),
                (1, None, "unknown department"),
                (127, "Sport", "unknown customer"),
                (1, "Men", "no coupon valid on 2025-10-09"),
            ]
            for customer, department, reason in expected:
                answer = none | {"customer": {"id": str(customer)}}
                assert ("offers", answer | {"department": department, "reason": reason}) in found
            assert len(found) == len(expected)
            connection = await connect(store)
            ids = await connection.fetch("select answer_id::text from events.decisions")
            assert {row[0] for row in ids} == set(desk.broker.ids)
            await connection.close()
            # An entry asks for nothing.
            entered = desk.send("entry", b'{"id": 127, "ts": %d}' % NOW)
            await until(lambda: entered.count)
            assert len(desk.broker.published) == len(expected)

    run(work)


def test_details_say_what_a_decision_rests_on(store: ServingStore) -> None:
    async def work() -> None:
        form = AnswerForm("offers", every_focus=True, has_details=True)
        async with Desk(store, form=form).know().working() as desk:
            customer = who_gets("Boys")
            coupon = best(customer, "Boys", TODAY)
            assert coupon is not None
            ((_, offer),) = await answers(desk, focus(customer, "Boys"), event_id="till-1")
            likelihood = prediction("m1", customer, coupon)
            basis = {"threshold": 0.2, "model": "m1", "release": 1}
            assert {key: offer[key] for key in ("likelihood", *basis)} == {
                "likelihood": likelihood, **basis
            }  # fmt: skip
            assert desk.broker.echoed == [("till-1", None)]
            _, (_, none) = await answers(desk, focus(1, "Men"))
            assert {key: none[key] for key in ("likelihood", *basis)} == {
                "likelihood": None, **basis
            }  # fmt: skip
            assert desk.broker.echoed[1] == (None, None)
            # One that is too long to be kept is not sent back; the event is decided all the same.
            await answers(desk, focus(customer, "Boys"), event_id="x" * 1_001)
            assert desk.broker.echoed[2] == (None, None)

    run(work)


def test_a_link_stands_for_the_products(store: ServingStore) -> None:
    async def work() -> None:
        form = AnswerForm("offers", is_compact=True)
        async with Desk(store, form=form).know().working() as desk:
            customer = who_gets("Sport")
            ((_, offer),) = await answers(desk, focus(customer, "Sports"))
            assert offer["coupon"] == {
                "id": "3", "type": "department", "department": "Sport", "discount": 5.0,
                "how_many": -1, "start_date": "2025-01-01", "end_date": "2025-12-31",
                "products_available": 2, "products_link": "/v1/coupons/3/products",
            }  # fmt: skip

    run(work)


def test_each_customer_has_a_topic(store: ServingStore) -> None:
    async def work() -> None:
        form = AnswerForm("offers", is_per_customer=True, every_focus=True)
        async with Desk(store, form=form).know().working() as desk:
            found = await answers(desk, focus(1, "Men"), focus(2, "Men"))
            assert {topic for topic, _ in found} == {"offers/1", "offers/2"}

    run(work)


def test_an_answer_goes_where_the_request_wants_it(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store, form=REPLIES).know().working() as desk:
            event = focus(who_gets("Boys"), "Boys")
            await answers(
                desk, event, event_id="a", response_topic="shop/reply/7", correlation_data=b"\0c"
            )
            await answers(desk, event, event_id="b", response_topic="shop/reply/7")
            topics = [one[0] for one in desk.broker.published.values()]
            assert topics == ["shop/reply/7", "shop/reply/7"]
            assert desk.broker.echoed == [("a", b"\0c"), ("b", None)]
            # Both outlive a lost connection.
            desk.publisher.use_connection(desk.broker.as_connection())
            await desk.publisher.sweep_now()
            assert desk.broker.echoed[2:] == desk.broker.echoed[:2]
            assert [one[0] for one in desk.broker.published.values()] == topics * 2

    run(work)


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("", "nothing can be published there"),
        ("shop/+/reply", "nothing can be published there"),
        ("shop/#", "nothing can be published there"),
        ("$SYS/broker", "nothing can be published there"),
        ("$share/group/shop/reply", "nothing can be published there"),
        ("shop/" + "x" * 1_000, "nothing can be published there"),
        ("shop/focus", "it is one of the service's own"),
        ("offers", "it is one of the service's own"),
        ("pollux/proof/polluxshop1", "it is one of the service's own"),
        ("shop/releases/store", "it is one of the service's own"),
        ("shopping/reply", "it is none of POLLUX_ANSWER_RESPONSE_TOPICS"),
    ],
)
def test_a_response_topic_that_is_not_used_is_told(
    store: ServingStore, caplog: pytest.LogCaptureFixture, topic: str, why: str
) -> None:
    """The answer goes where it would without one."""

    async def work() -> None:
        async with Desk(store, form=REPLIES).know().working() as desk:
            event = focus(who_gets("Boys"), "Boys")
            ((found, _),) = await answers(
                desk, event, event_id="a", response_topic=topic, correlation_data=b"c"
            )
            assert found == "offers"
            assert desk.broker.echoed == [("a", None)]
            assert f"A response topic is not used: {why}" in caplog.messages
            assert desk.metric("pollux_events_response_topics_refused_total") == 1

    run(work)


def test_correlation_data_have_a_limit(
    store: ServingStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with Desk(store, form=REPLIES).know().working() as desk:
            event = focus(who_gets("Boys"), "Boys")
            for number, size in enumerate((1_000, 1_001)):
                more = {"response_topic": "shop/reply", "correlation_data": bytes(size)}
                await answers(desk, event, event_id=str(number), **more)
            topics = [one[0] for one in desk.broker.published.values()]
            assert topics == ["shop/reply", "offers"]
            assert caplog.messages[-1] == (
                "A response topic is not used: its correlation data have more than 1000 bytes"
            )

    run(work)
