"""Entry and focus events as they arrive.

Belongs here: both shapes in which shops send them, and what makes one unreadable. Does not belong
here: what follows from an event.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.events.payloads import UnreadableError, read_json

MAX_BYTES = 64 * 1024
BIGINT_MAX = 2**63 - 1
MAX_ID_DIGITS = 19
MAX_DEPARTMENT = 100


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
    return _event(customer, moment, None, zone)


def read_focus(payload: bytes, zone: ZoneInfo) -> StoreEvent:
    """A focus event; raises `UnreadableError`."""
    customer, moment, department = _parts(read_json(payload, MAX_BYTES))
    if not isinstance(department, str) or not department.strip():
        raise UnreadableError("the department is missing or no text")
    if len(department) > MAX_DEPARTMENT:
        raise UnreadableError(f"the department has more than {MAX_DEPARTMENT} characters")
    return _event(customer, moment, department.strip(), zone)


def _parts(document: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """Customer, time and department of either shape."""
    if not isinstance(document, dict):
        raise UnreadableError("not a JSON object")
    if "payload" not in document:
        for name in ("x", "y"):
            if not isinstance(document.get(name, 0), (int, float, type(None))):
                raise UnreadableError(f"{name} is no number")
        return document.get("id"), document.get("ts"), document.get("dep")
    inner = document["payload"]
    if not isinstance(inner, dict):
        raise UnreadableError("payload is not a JSON object")
    moment = document.get("event_timestamp")
    if not isinstance(moment, str):
        raise UnreadableError("event_timestamp is missing or no text")
    return inner.get("customer_id"), _iso(moment), inner.get("category")


def _event(customer: object, ts: object, department: str | None, zone: ZoneInfo) -> StoreEvent:
    customer_id = _customer_id(customer)
    if isinstance(ts, bool) or not isinstance(ts, int):
        raise UnreadableError("ts is missing or no whole number of seconds")
    try:
        event_at = datetime.fromtimestamp(ts, UTC)
        event_date = event_at.astimezone(zone).date()
    except (ValueError, OverflowError, OSError):
        raise UnreadableError("ts is beyond the years 1 to 9999; it counts seconds") from None
    return StoreEvent(customer_id, ts, event_at, event_date, department)


def _customer_id(value: object) -> int:
    if isinstance(value, str):
        text = value.strip()
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= MAX_ID_DIGITS:
            value = int(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableError("the customer's id is missing or no whole number")
    if not -BIGINT_MAX - 1 <= value <= BIGINT_MAX:
        raise UnreadableError("the customer's id is beyond 64 bits")
    return value


def _iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() // 1)
    except (ValueError, OverflowError):
        raise UnreadableError("event_timestamp is no ISO 8601 time") from None
