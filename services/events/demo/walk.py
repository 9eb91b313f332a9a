"""A walk through the store: real customers' events, published as its sensors would publish them.

Belongs here: who walks where and on which day, publishing events, waiting for answers. Does not
belong here: how events are decided, and how the walk is shown.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import psycopg
from psycopg import sql

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from services.common.addresses import events_url
from services.events.demo.client import DemoClient, Question
from services.events.settings import MqttSettings

ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.02
DEPARTMENTS_EACH = 3

# A day on which most departments have a coupon: today if it is one, else the latest.
DAY = """
with
    days as (select end_date as day from coupon_info union select %(today)s)
select days.day, array_agg(distinct coupon_info.department order by coupon_info.department)
from days
inner join coupon_info on days.day between coupon_info.start_date and coupon_info.end_date
group by days.day
order by count(distinct coupon_info.department) desc, days.day = %(today)s desc, days.day desc
limit 1
"""

# From those who use coupons most to those who never do.
CUSTOMERS = """
with
    ranked as (
        select
            customer_id, gender, age, total_coupons_used,
            ntile(%(count)s) over (order by total_coupons_used desc, customer_id) as part
        from customer_info
    )
select distinct on (part) customer_id, gender, age, total_coupons_used
from ranked
order by part, total_coupons_used desc, customer_id
"""


DECISION = "select outcome, reason, prediction from events.decisions where event_key = %s"


class RecordedDecision(NamedTuple):
    """What was decided, why, and how likely the best coupon is to be used."""

    outcome: str
    reason: str | None
    prediction: float | None


class DemoError(PolluxError):
    """No walk is possible; the message says what is missing."""


@dataclass(frozen=True)
class DemoCustomer:
    """A customer who walks through the store."""

    id: int
    gender: str | None
    age: int | None
    coupons_used: int
    departments: Sequence[str]


@dataclass(frozen=True)
class WalkPlan:
    """Who walks where, and the day of the events."""

    day: date
    is_today: bool
    customers: Sequence[DemoCustomer]


@dataclass(frozen=True)
class FocusResult:
    """What followed a focus event: a coupon after so many milliseconds, or none; and why.

    The reason for a coupon is None where nobody gives one.
    """

    customer: DemoCustomer
    department: str
    coupon: Mapping[str, Any] | None
    reason: str | None
    milliseconds: float | None


def plan_walk(connection: psycopg.Connection, settings: Settings, count: int) -> WalkPlan:
    """Chooses customers and a day; raises `DemoError` if the store is not released."""
    row = None
    if connection.execute("select to_regclass('release.current')").fetchone() != (None,):
        row = connection.execute(
            "select number from release.current where domain = 'store'"
        ).fetchone()
    if row is None:
        raise DemoError("No store is released yet: pollux up makes a sample and releases it.")
    path = sql.SQL("set search_path = {}").format(sql.Identifier(f"store__r{row[0]}"))
    connection.execute(path)
    today = datetime.now(ZoneInfo(settings.store_timezone)).date()
    found = connection.execute(DAY, {"today": today}).fetchone()
    rows = connection.execute(CUSTOMERS, {"count": count}).fetchall()
    if found is None or not rows:
        raise DemoError("The released store has no coupons or no customers.")
    day, departments = found
    customers = [
        DemoCustomer(customer_id, gender, age, used, _some_of(departments, place))
        for place, (customer_id, gender, age, used) in enumerate(rows)
    ]
    return WalkPlan(day, day == today, customers)


def _some_of(departments: Sequence[str], place: int) -> Sequence[str]:
    """Some of the departments; the next customer gets others."""
    first = place % len(departments)
    return [*departments[first:], *departments[:first]][:DEPARTMENTS_EACH]


class StoreFloor:
    """Where customers walk: publishes their events and waits for the answers."""

    def __init__(
        self,
        settings: Settings,
        mqtt: MqttSettings,
        client: DemoClient,
        decisions: psycopg.Connection,
    ) -> None:
        self._mqtt = mqtt
        self._offers_url = f"{events_url(settings)}/v1/offers"
        self._zone = ZoneInfo(settings.store_timezone)
        self._client = client
        self._decisions = decisions

    def enter(self, customer: DemoCustomer, day: date) -> None:
        """Publishes an entry event; raises `DemoError` if no event service takes it."""
        document = {"id": str(customer.id), "ts": self._moment(day)}
        key, _ = self._client.publish(self._mqtt.entry_event_topic_name, document)
        if self._wait_for_decision(key) is None:
            raise DemoError(
                "The broker took the event, but no event service did: it runs with pollux up, or "
                "alone with pollux serve events."
            )

    def stop_at(self, customer: DemoCustomer, department: str, day: date) -> FocusResult:
        """Publishes a focus event and waits for its prediction, or for why there is none."""
        question = Question(str(customer.id), department, self._moment(day))
        document = {"id": question.customer_id, "ts": question.ts, "dep": department}
        key, began = self._client.publish(self._mqtt.focus_event_topic_name, document)
        decision = self._wait_for_decision(key, question)
        if decision is not None and decision.outcome == "no offer":
            best = decision.prediction
            reason = (decision.reason or "") + ("" if best is None else f" (best {best:.2f})")
            return FocusResult(customer, department, None, reason, None)
        offer = self._client.wait(question, ANSWER_SECONDS if decision else 0)
        if offer is None:
            lacks = "decided, but no message arrived" if decision else "no decision"
            reason = f"{lacks} in {ANSWER_SECONDS:.0f} s"
            return FocusResult(customer, department, None, reason, None)
        milliseconds = 1000 * (offer.arrived - began)
        return FocusResult(
            customer, department, offer.coupon, self._explain(question), milliseconds
        )

    def _explain(self, question: Question) -> str | None:
        """What makes the customer most likely to use the coupon; None if the service does not say.

        It decides the same again, and records nothing.
        """
        asked = {
            "customer_id": question.customer_id,
            "department": question.department,
            "at": datetime.fromtimestamp(question.ts, UTC).isoformat(),
        }
        try:
            answer = httpx.post(
                self._offers_url,
                params={"dry_run": True, "explain": True},
                json=asked,
                timeout=ANSWER_SECONDS,
                # A proxy in the environment is for other machines.
                trust_env=False,
            )
        except httpx.HTTPError:
            return None
        explanation = answer.json()["explanation"] if answer.status_code == HTTPStatus.OK else None
        if explanation is None:
            return None
        raising = (one["words"] for one in explanation["contributions"] if one["added"] > 0)
        return next(raising, None)

    def _moment(self, day: date) -> int:
        """The current time of day, on that day."""
        now = datetime.now(self._zone)
        return int(datetime.combine(day, now.time(), self._zone).timestamp())

    def _wait_for_decision(
        self, key: UUID, question: Question | None = None
    ) -> RecordedDecision | None:
        """The decision; None if there was none in time, or if its coupon arrived first."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline and self._client.wait(question, POLL_SECONDS) is None:
            try:
                row = self._decisions.execute(DECISION, [key]).fetchone()
            except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable):
                # No event service has run here yet.
                row = None
            if row is not None:
                return RecordedDecision(*row)
        return None


def walk_through(
    walk: WalkPlan, floor: StoreFloor, *, seconds: float
) -> Iterator[DemoCustomer | FocusResult]:
    """Every customer enters and stops at some departments; yields what happens, as it happens."""
    steps = sum(1 + len(customer.departments) for customer in walk.customers)
    for customer in walk.customers:
        floor.enter(customer, walk.day)
        yield customer
        for department in customer.departments:
            time.sleep(seconds / steps)
            yield floor.stop_at(customer, department, walk.day)
        time.sleep(seconds / steps)
