"""What is answered over MQTT: in which form, and on which topic.

Belongs here: the messages, and which topic each goes to by the settings. Does not belong here: what
is decided (`offers`), and sending (`broker.publisher`).
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from prometheus_client import Counter

from pollux.runtime.settings import Settings
from services.events.broker.connection import Message
from services.events.broker.session import PROOF_TOPIC
from services.events.coupons.catalogue import CouponDocument
from services.events.coupons.messages import StoreEvent
from services.events.coupons.repository import Decision
from services.events.database.outbox import EventAnswer, SharedDocument
from services.events.settings import TOPIC, MqttSettings

# Of an event's id and of correlation data, which are kept until the answer is sent.
MAX_ECHOED = 1_000

log = logging.getLogger("pollux.events")


class Asked(NamedTuple):
    """What a message says about its answer."""

    event_id: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None


NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class AnswerForm:
    """What the settings say about answers; without a `topic`, nothing is sent."""

    topic: str | None
    every_focus: bool = False
    has_details: bool = False
    is_compact: bool = False
    is_per_customer: bool = False
    # What a response topic must begin with; empty if none is used.
    response_topics: str = ""
    # Topics that the service reads or writes itself, and those below which it does.
    own_topics: Collection[str] = ()
    own_parents: Collection[str] = ()


def read_answer_form(settings: Settings, mqtt: MqttSettings) -> AnswerForm:
    """The form that the settings of a worker give."""
    # Below it are the topics of other customers.
    per_customer = [mqtt.coupon_prediction_topic_name] * settings.answer_topic_per_customer
    written = (
        mqtt.coupon_prediction_topic_name,
        mqtt.promo_code_topic_name,
        mqtt.promo_code_line_topic_name,
        mqtt.segment_changed_topic_name,
    )
    return AnswerForm(
        topic=None if mqtt.testing_no_mqtt else mqtt.coupon_prediction_topic_name,
        every_focus=settings.answer_every_focus,
        has_details=settings.answer_details,
        is_compact=settings.answer_compact,
        is_per_customer=settings.answer_topic_per_customer,
        response_topics=settings.answer_response_topics,
        own_topics=frozenset([*mqtt.topics().values(), *written]),
        own_parents=(PROOF_TOPIC, mqtt.release_topic_name, *per_customer),
    )


class Answers:
    """Makes the answers to focus events, in the form that the settings give."""

    def __init__(self, form: AnswerForm, refused: Counter) -> None:
        self._form = form
        self._refused = refused

    def is_due(self, outcome: str) -> bool:
        """Whether a focus event with this outcome has an answer, sent or not."""
        return outcome == "offer" or self._form.every_focus

    def asked(self, message: Message) -> Asked:
        """What a message says about its answer, without what is not used."""
        form = self._form
        event_id = message.event_id if form.has_details else None
        if event_id is not None and len(event_id) > MAX_ECHOED:
            event_id = None
        topic = message.response_topic
        if not form.response_topics or topic is None:
            return Asked(event_id)
        data = message.correlation_data
        why = _refusal(form, topic)
        if why is None and data is not None and len(data) > MAX_ECHOED:
            why = f"its correlation data have more than {MAX_ECHOED} bytes"
        if why is not None:
            self._refused.inc()
            log.warning("A response topic is not used: %s", why)
            return Asked(event_id)
        return Asked(event_id, topic, data)

    def answer(
        self, event: StoreEvent, decision: Decision, coupon: CouponDocument | None, asked: Asked
    ) -> EventAnswer | None:
        """The message that answers a decision, or None if nothing is sent."""
        topic = self._form.topic
        if topic is None or decision.answer_id is None:
            return None
        if self._form.is_per_customer:
            topic = f"{topic}/{event.customer_id}"
        return EventAnswer(
            decision.answer_id,
            asked.response_topic or topic,
            *self.message(event, decision, coupon),
            event_id=asked.event_id,
            correlation_data=asked.correlation_data,
        )

    def message(
        self, event: StoreEvent, decision: Decision, coupon: CouponDocument | None
    ) -> tuple[bytes, SharedDocument | None, bytes]:
        """What is sent, in three parts; its time is the event's."""
        opening = b'{"customer":{"id":"%d"},"coupon":' % event.customer_id
        details = _details(decision) if self._form.has_details else b""
        if coupon is not None:
            document = coupon.compact if self._form.is_compact else coupon.whole
            return opening, document, b',"ts":%d%b}' % (event.ts, details)
        why = _fields({"department": decision.department, "reason": decision.reason})
        return opening + b"null", None, b',"ts":%d,%b%b}' % (event.ts, why, details)


def _details(decision: Decision) -> bytes:
    return b"," + _fields(
        {
            "likelihood": decision.prediction,
            "threshold": decision.threshold,
            "model": decision.model,
            "release": decision.release,
        }
    )


def _fields(values: Mapping[str, object]) -> bytes:
    return orjson.dumps(values)[1:-1]


def _refusal(form: AnswerForm, topic: str) -> str | None:
    """Why an answer may not go to a response topic; its text never stands in the log."""
    if not TOPIC.fullmatch(topic) or topic.startswith("$"):
        return "nothing can be published there"
    below = any(topic.startswith(f"{parent}/") for parent in form.own_parents)
    if below or topic in form.own_topics:
        return "it is one of the service's own"
    if not topic.startswith(form.response_topics):
        return "it is none of POLLUX_ANSWER_RESPONSE_TOPICS"
    return None
