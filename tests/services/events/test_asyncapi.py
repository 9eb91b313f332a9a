"""docs/asyncapi.yaml: every topic and message is in it, and each message in it is a real one.

What other tests send and hear at a broker is checked against it, too (`described` in conftest).
"""

import dataclasses
from importlib.metadata import version

import pytest

from services.events.settings import MqttSettings
from tests.services.events import asyncapi
from tests.services.events import support as shops
from tests.services.events.asyncapi import DOCUMENT, Captured, matches, problems, resolved
from tests.services.events.conftest import TOPICS, Shop
from tests.services.events.purchases.test_rows import BASKET, ORDER
from tests.services.events.support import NOW, TODAY, Client, best, who_gets, working
from tests.support.programs import wait_for

# A session's own, and those that other tests have.
ELSEWHERE = {"proof", "release", "segmentChanged"}
PREDICTION = "pollux/coupon-prediction"
NO_OFFER = Captured(
    "send",
    PREDICTION,
    b'{"customer":{"id":"1"},"coupon":null,"ts":1,"department":null,"reason":"unknown department"}',
    {"answer-id": shops.NO_ID},
)


def addresses(action: str) -> set[str]:
    operations = [one for one in DOCUMENT["operations"].values() if one["action"] == action]
    return {str(resolved(one["channel"])["address"]) for one in operations}


def test_every_topic_is_in_it_with_its_default() -> None:
    mqtt = MqttSettings()
    proof = "pollux/proof/{client}"
    assert addresses("receive") == {*mqtt.topics().values(), proof}
    predictions = mqtt.coupon_prediction_topic_name
    codes = (mqtt.promo_code_topic_name, mqtt.promo_code_line_topic_name)
    releases = f"{mqtt.release_topic_name}/{{domain}}"
    segments = mqtt.segment_changed_topic_name
    sent = {predictions, f"{predictions}/{{customer}}", *codes, segments, releases, proof}
    assert addresses("send") == sent
    described = [DOCUMENT["channels"][name]["description"] for name in DOCUMENT["channels"]]
    for name in MqttSettings.model_fields:
        if name.endswith("_topic_name"):
            assert any(name.upper() in text for text in described), name


def test_it_is_of_this_version_and_nothing_in_it_is_unused() -> None:
    assert DOCUMENT["info"]["version"] == version("pollux")
    messages = {
        reference["$ref"].rpartition("/")[2]
        for channel in DOCUMENT["channels"].values()
        for reference in channel["messages"].values()
    }
    assert messages == DOCUMENT["components"]["messages"].keys()
    channels = {one["channel"]["$ref"] for one in DOCUMENT["operations"].values()}
    replies = [one["reply"] for one in DOCUMENT["operations"].values() if "reply" in one]
    channels |= {one["channel"]["$ref"] for one in replies}
    assert channels == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


def test_its_examples_are_its_messages() -> None:
    for name, message in resolved(DOCUMENT["components"]["messages"]).items():
        kind, payload, _ = next(
            asyncapi.messages_of(channel)[name]
            for channel, one in DOCUMENT["channels"].items()
            if name in one["messages"]
        )
        for example in message.get("examples", []):
            assert list(payload.iter_errors(example["payload"])) == [], name
            assert isinstance(example["payload"], str) != kind


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"coupon":null,', b""),
        (b'"id":"1"', b'"id":1'),
        (b'"reason"', b'"why"'),
        (b'"ts":1', b'"ts":1,"likelihood":0.5'),
        (b'"coupon":null', b'"coupon":{"id":"1"}'),
        (b"}", b""),
    ],
)
def test_a_message_that_is_not_described_is_named(old: bytes, new: bytes) -> None:
    assert matches(NO_OFFER) == ["noOffer"]
    other = dataclasses.replace(NO_OFFER, payload=NO_OFFER.payload.replace(old, new))
    assert other != NO_OFFER
    assert any(one.startswith(f"{PREDICTION}: no noOffer: ") for one in problems(other))
    assert problems(dataclasses.replace(NO_OFFER, properties={})) != []


def test_every_message_of_it_is_sent_or_heard(shop_v5: Shop) -> None:
    """By a worker that answers every focus event; products are listed once, linked once."""
    moment = "2025-10-09T08:53:20Z"
    wrapped = {"event_type": "some event", "event_timestamp": moment}
    click = {"promotion": "P", "type": "click", "email": shops.MEMBERS[0], "where": "Web"}
    low = next(c for c in shops.CUSTOMERS if best(c, "Women", TODAY) is None)
    found: set[str] = set()
    for is_compact in ("", "true"):
        more = {"POLLUX_ANSWER_EVERY_FOCUS": "true", "POLLUX_ANSWER_COMPACT": is_compact}
        client = Client(shop_v5.port, TOPICS, prefix=shop_v5.prefix)
        with working(shop_v5.settings, **shop_v5.environment(**more)):
            for topic, payload in (
                ("entry", {"id": "1", "ts": NOW}),
                ("entry", {**wrapped, "payload": {"customer_id": 2}}),
                ("focus", {"id": who_gets("Sport"), "ts": NOW, "dep": "Sports"}),
                ("focus", {**wrapped, "payload": {"customer_id": low, "category": "Women"}}),
                ("loyalty-list", {"email": "ada@example.com", "gender": "F"}),
                ("loyalty-list", b"bob@example.com, bob, bobby, M"),
                ("purchase", BASKET),
                ("purchase", ORDER),
                ("conversion", [click]),
                ("conversion", b"P, PurchaseConversion, new@example.com, 6;14, 59.90"),
            ):
                client.send(f"pollux/{topic}", payload, f"{topic}-{payload}-{is_compact}")
            wait_for(lambda client=client: len(client.on(PREDICTION)) == 2)
            wait_for(lambda client=client: len(client.on("pollux/promo-code-line")) == 2)
        client.close()
    for one in shops.CAPTURED:
        (name,) = matches(one)
        found.add(name)
    assert found == DOCUMENT["components"]["messages"].keys() - ELSEWHERE
