"""Entry and focus events as they arrive.

Belongs here: both shapes in which shops send them, and what makes one unreadable. Does not belong
here: what follows from an event.
"""

import math
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from services.events.payloads import UnreadableError, read, read_json, read_name

MAX_BYTES = 64 * 1024
MAX_SECONDS_AHEAD = 366 * 24 * 3600
FIRST_YEAR = 1970
# Also the reason for events that count milliseconds.
IMPLAUSIBLE = "an implausible day: ts counts seconds, from 1970 to a year from now"


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """A customer entered, or stopped in a department (None for an entry).

    `ts` is the event's time in seconds since 1970, `event_date` its day at the shop.
    """

    customer_id: int
    ts: int
    event_at: datetime
    event_date: date
    department: str | None


def read_entry(payload: bytes, zone: ZoneInfo) -> StoreEvent:
    """An entry event; raises `UnreadableError`."""
    customer, moment, _ = _parts(read_json(payload, MAX_BYTES))
    return store_event(customer, moment, None, zone)


def read_focus(payload: bytes, zone: ZoneInfo) -> StoreEvent:
    """A focus event; raises `UnreadableError`."""
    document = read_json(payload, MAX_BYTES)
    customer, moment, department = _parts(document)
    if "payload" not in document:
        for coordinate in ("x", "y"):
            read("number", coordinate, document.get(coordinate))
    name = read_name("the department", department)
    if name is None:
        raise UnreadableError("the department is missing")
    return store_event(customer, moment, name, zone)


def focus_message(event: StoreEvent) -> bytes:
    """A focus event as a sensor would send it."""
    return orjson.dumps({"id": str(event.customer_id), "ts": event.ts, "dep": event.department})


def _parts(document: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """Customer, time and department of either shape."""
    if not isinstance(document, dict):
        raise UnreadableError("not a JSON object")
    if "payload" not in document:
        return document.get("id"), document.get("ts"), document.get("dep")
    inner = document["payload"]
    if not isinstance(inner, dict):
        raise UnreadableError("payload is not a JSON object")
    moment = document.get("event_timestamp")
    return inner.get("customer_id"), _seconds(moment), inner.get("category")


def store_event(customer: object, ts: object, department: str | None, zone: ZoneInfo) -> StoreEvent:
    """An event at a time in seconds since 1970; raises `UnreadableError`."""
    customer_id = _whole("the customer's id", customer)
    seconds = _whole_seconds(ts)
    if not 0 <= seconds <= time.time() + MAX_SECONDS_AHEAD:
        raise UnreadableError(IMPLAUSIBLE)
    event_at = datetime.fromtimestamp(seconds, UTC)
    event_date = event_at.astimezone(zone).date()
    if event_date.year < FIRST_YEAR:
        raise UnreadableError(IMPLAUSIBLE)
    return StoreEvent(customer_id, seconds, event_at, event_date, department)


def _whole(what: str, value: object) -> int:
    found = read("id", what, value)
    if found is None:
        raise UnreadableError(f"{what} is missing")
    assert isinstance(found, int)  # noqa: S101 - what an id is
    return found


def _whole_seconds(ts: object) -> int:
    """Seconds since 1970 without their fraction, which the other shape leaves out, too."""
    if isinstance(ts, float) or (isinstance(ts, str) and "." in ts):
        found = read("number", "ts", ts)
        assert isinstance(found, float)  # noqa: S101 - what a number is
        return math.floor(found)
    return _whole("ts", ts)


def _seconds(moment: object) -> int:
    """A moment in seconds since 1970; without a time zone it is in UTC."""
    found = read("timestamp", "event_timestamp", moment)
    if found is None:
        raise UnreadableError("event_timestamp is missing")
    assert isinstance(found, datetime)  # noqa: S101 - what a timestamp is
    return int(found.replace(tzinfo=UTC).timestamp() // 1)
