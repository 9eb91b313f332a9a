"""Offers that are decided at once, for whoever asks over HTTP.

Belongs here: a request's way to a decision, recorded or not, and the problems on it. Does not
belong here: the choice (`offers`) and its record (`handler`), which are those of MQTT.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pollux.names import no_such_name
from services.common.problems import ProblemError, internal_error, invalid_input
from services.common.releases import NothingReleasedError
from services.common.shop import unknown_store_customer
from services.events.coupons.cooldown import find_held_back, without_offer
from services.events.coupons.handler import CouponHandler
from services.events.coupons.messages import StoreEvent, store_event
from services.events.coupons.offers import (
    NO_MODEL,
    NOTHING_RELEASED,
    SCORER_SILENT,
    UNKNOWN_CUSTOMER,
    UNKNOWN_DEPARTMENT,
    Choice,
    Offers,
)
from services.events.coupons.repository import Decision, read_decision
from services.events.coupons.scorer_client import (
    Explained,
    NoModelYetError,
    ScorerRefusesError,
    ScorerUnavailableError,
)
from services.events.database.connection import DatabaseWriter
from services.events.database.event_keys import event_key
from services.events.database.outbox import SharedDocument
from services.events.payloads import UnreadableError
from services.scoring.problems import no_model

STORE = "store"


class Question(NamedTuple):
    """Who asks for an offer; without a department, of any; without a time, now."""

    customer_id: int
    department: str | None = None
    at: datetime | None = None
    event_id: str | None = None


class Instant(NamedTuple):
    """A decision; `coupon` is None without an offer, or if the release has the coupon no more."""

    decision: Decision
    coupon: SharedDocument | None
    explained: Explained | None = None
    is_recorded: bool = True
    is_repeated: bool = False


class InstantOffers:
    """Decides offers with a worker's own parts."""

    def __init__(
        self,
        *,
        offers: Offers,
        handler: CouponHandler,
        writer: DatabaseWriter,
        zone: ZoneInfo,
        topic: str,
        cooldown: timedelta,
    ) -> None:
        self._offers = offers
        self._handler = handler
        self._writer = writer
        self._zone = zone
        # Of focus events: an id means the same event, over HTTP and over MQTT.
        self._topic = topic
        self._cooldown = cooldown

    async def decide(
        self, asked: Question, *, is_dry_run: bool = False, explains: bool = False
    ) -> Instant:
        """The decision, recorded as a focus event's unless it `is_dry_run`.

        An event that was decided before keeps its decision. Raises a problem if there can be none;
        then nothing is recorded.
        """
        event = self._event(asked)
        instant = await self._recorded(asked)
        if instant is None:
            event, choice, coupon = await self._choose(event)
            instant = await (
                self._try(event, choice, coupon)
                if is_dry_run
                else self._record(asked, event, choice, coupon)
            )
        if explains:
            return instant._replace(explained=await self._explained(instant.decision, event))
        return instant

    def _event(self, asked: Question) -> StoreEvent:
        moment = datetime.now(UTC) if asked.at is None else asked.at
        seconds = int(moment.timestamp() // 1)
        try:
            return store_event(asked.customer_id, seconds, asked.department, self._zone)
        except UnreadableError as error:
            raise invalid_input("body", "at", str(error)) from None

    async def _choose(self, event: StoreEvent) -> tuple[StoreEvent, Choice, SharedDocument | None]:
        """The event with its department, the choice, and its coupon as the same release has it."""
        while True:
            chosen, choice = await self._choice(event)
            basis = self._offers.basis
            coupon = await self._document(choice.coupon_id)
            if self._offers.basis == basis:
                return chosen, choice, coupon

    async def _choice(self, event: StoreEvent) -> tuple[StoreEvent, Choice]:
        """The choice, and the event with its department; raises a problem if there is none."""
        if event.department is None:
            department, choice = await self._offers.choose_any(event)
            event = replace(event, department=department)
        else:
            choice = self._offers.ready(event) or await self._offers.choose(event)
        if choice.reason == UNKNOWN_DEPARTMENT:
            assert event.department is not None  # noqa: S101 - any is known
            raise unknown_department(event.department, await self._offers.departments())
        problem = PROBLEMS.get(choice.reason or "")
        if problem is not None:
            raise problem(event.customer_id)
        return event, choice

    async def _try(
        self, event: StoreEvent, choice: Choice, coupon: SharedDocument | None
    ) -> Instant:
        decision = self._handler.decision(uuid4(), "focus", event, choice)
        if self._cooldown and decision.outcome == "offer":
            offers = [decision]
            if await self._writer.retry(
                lambda connection: find_held_back(connection, offers, self._cooldown)
            ):
                decision = without_offer(decision, self._cooldown)
        return Instant(decision, None if decision.coupon_id is None else coupon, is_recorded=False)

    async def _record(
        self, asked: Question, event: StoreEvent, choice: Choice, coupon: SharedDocument | None
    ) -> Instant:
        pending, is_new = await self._handler.decide_and_wait(
            self._key(asked) or uuid4(), event, choice, self._topic
        )
        if not is_new:
            # The same event came over MQTT, or in another request, at the same time.
            recorded = await self._recorded(asked)
            if recorded is not None:
                return recorded
        if pending.decision is None:
            raise internal_error()
        await self._check_same(asked, pending.decision)
        return Instant(pending.decision, None if pending.decision.coupon_id is None else coupon)

    async def _recorded(self, asked: Question) -> Instant | None:
        """What was decided for the event before; raises a problem if it was another event."""
        key = self._key(asked)
        if key is None:
            return None
        decision = await self._writer.retry(lambda connection: read_decision(connection, key))
        if decision is None:
            return None
        await self._check_same(asked, decision)
        return Instant(decision, await self._document(decision.coupon_id), is_repeated=True)

    async def _check_same(self, asked: Question, decision: Decision) -> None:
        """Raises a problem if a decision with the event's id is that of another event."""
        department = decision.department
        if asked.department is not None and department is not None:
            # As the data spell it.
            await self._offers.departments()
            department = self._offers.spelled(asked.department)
        event_at = asked.at and asked.at.replace(microsecond=0)
        same = (asked.customer_id, department, event_at or decision.event_at)
        if same != (decision.customer_id, decision.department, decision.event_at):
            raise event_id_used()

    def _key(self, asked: Question) -> UUID | None:
        if asked.event_id is None:
            return None
        return event_key(self._topic, b"", asked.event_id)

    async def _document(self, coupon_id: int | None) -> SharedDocument | None:
        if coupon_id is None:
            return None
        document = await self._offers.read_document(coupon_id)
        return None if document is None else document.compact

    async def _explained(self, decision: Decision, event: StoreEvent) -> Explained | None:
        """Why the best coupon has its prediction; None without one, or if its basis has changed."""
        basis = self._offers.basis
        if decision.prediction is None or (decision.release, decision.model) != basis:
            return None
        about = replace(event, department=decision.department, event_date=decision.event_date)
        try:
            explained = await self._offers.explain(about, decision.coupon_id)
        except NoModelYetError:
            raise no_model() from None
        except (ScorerUnavailableError, ScorerRefusesError):
            raise scorer_unavailable() from None
        if explained is None or explained.model != decision.model:
            return None
        # The customer may have bought something since.
        return explained if math.isclose(explained.prediction, decision.prediction) else None


def unknown_department(asked: str, known: list[str]) -> ProblemError:
    """The department is not in the store's release; the known ones are."""
    return invalid_input("body", "department", no_such_name("department", asked, known))


def event_id_used() -> ProblemError:
    """An event with this id was decided, and it was another one."""
    return ProblemError(
        HTTPStatus.CONFLICT,
        "event-id-used",
        "Event id used already",
        "An event with this event_id was decided for another customer, department or time.",
    )


def scorer_unavailable() -> ProblemError:
    """The scorer does not answer, and no choice was prepared that would do."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "scorer-unavailable",
        "Scorer unavailable",
        "The coupon scorer does not answer. Nothing was decided; the service recovers by itself.",
        headers={"Retry-After": "1"},
    )


# What MQTT records as a decision, and HTTP says at once.
PROBLEMS: Mapping[str, Callable[[int], ProblemError]] = {
    UNKNOWN_CUSTOMER: unknown_store_customer,
    NOTHING_RELEASED: lambda _: NothingReleasedError(STORE),
    NO_MODEL: lambda _: no_model(),
    SCORER_SILENT: lambda _: scorer_unavailable(),
}
