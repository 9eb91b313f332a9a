"""Answers that an app can use, over a real broker: what the settings add to those of a shop."""

from collections.abc import Iterator

import pytest

from tests.services.events.conftest import TOPICS, Shop, decided
from tests.services.events.support import (
    NOW,
    TODAY,
    Client,
    Worker,
    best,
    prediction,
    who_gets,
    working,
)
from tests.support.programs import wait_for

EVERYTHING = {
    "POLLUX_ANSWER_EVERY_FOCUS": "true",
    "POLLUX_ANSWER_DETAILS": "true",
    "POLLUX_ANSWER_COMPACT": "true",
    "POLLUX_ANSWER_TOPIC_PER_CUSTOMER": "true",
    "POLLUX_COUPON_COOLDOWN_MINUTES": "10",
}


@pytest.fixture
def app(shop_v5: Shop) -> Iterator[Client]:
    """An app at the broker, which hears its customers' topics and replies."""
    below = ("pollux/coupon-prediction/#", "pollux/reply/#")
    one = Client(shop_v5.port, [*TOPICS, *below], prefix=shop_v5.prefix)
    yield one
    one.close()


@pytest.fixture
def worker(shop_v5: Shop) -> Iterator[Worker]:
    replies = {"POLLUX_ANSWER_RESPONSE_TOPICS": f"{shop_v5.prefix}/"}
    environment = shop_v5.environment(**EVERYTHING, **replies)
    with working(shop_v5.settings, **environment) as one:
        yield one


def test_every_setting_at_once(shop_v5: Shop, worker: Worker, app: Client) -> None:
    customer = who_gets("Sport")
    coupon = best(customer, "Sport", TODAY)
    assert coupon is not None
    event = {"id": customer, "ts": NOW, "dep": "Sports"}
    app.send("pollux/focus", event, "a")
    (offer,) = wait_for(lambda: app.heard)
    assert offer.topic == f"pollux/coupon-prediction/{customer}"
    assert offer.event_id == "a"
    assert offer.document["likelihood"] == prediction("m1", customer, coupon)
    assert offer.document["coupon"]["products_link"] == f"/v1/coupons/{coupon}/products"
    # A minute later it is held back, and told so to whoever asked.
    reply = {
        "ResponseTopic": f"{shop_v5.prefix}/reply/till-7",
        "CorrelationData": b"\x00\xff",
    }
    app.send("pollux/focus", event | {"ts": NOW + 60}, "b", **reply)
    _, none = wait_for(lambda: len(app.heard) > 1 and app.heard)
    assert (none.topic, none.event_id, none.correlation_data) == (
        "pollux/reply/till-7", "b", b"\x00\xff"
    )  # fmt: skip
    assert none.document["coupon"] is None
    assert none.document["reason"] == f"coupon {coupon} was offered within 10 min"
    # Ten minutes later it is offered again, where nobody asked for more.
    app.send("pollux/focus", event | {"ts": NOW + 600}, "c")
    *_, again = wait_for(lambda: len(app.heard) > 2 and app.heard)
    assert again.document["coupon"] == offer.document["coupon"]
    assert (again.topic, again.correlation_data) == (offer.topic, None)
    rows = shop_v5.rows("select outcome, answer_id::text from events.decisions order by event_at")
    assert [row[0] for row in rows] == ["offer", "no offer", "offer"]
    assert [row[1] for row in rows] == [one.answer_id for one in app.heard]


def test_a_forbidden_response_topic_is_not_used(shop_v5: Shop, worker: Worker, app: Client) -> None:
    """Nor is one that the service reads or writes: another event, or another customer's answer."""
    customer = who_gets("Boys")
    own = [f"{shop_v5.prefix}/{name}" for name in ("focus", "coupon-prediction/0")]
    for number, topic in enumerate([*own, "elsewhere"]):
        event = {"id": customer, "ts": NOW + 3_600 * number, "dep": "Boys"}
        app.send("pollux/focus", event, str(number), ResponseTopic=topic)
    decided(shop_v5, 3)
    heard = wait_for(lambda: len(app.heard) == 3 and app.heard)
    assert {one.topic for one in heard} == {f"pollux/coupon-prediction/{customer}"}
    assert shop_v5.rows("select count(*) from events.dead_letter") == [(0,)]
    assert worker.metric("pollux_events_response_topics_refused_total") == 3
    assert "A response topic is not used" in worker.text
