"""Entry and focus events: every spelling that loses nothing, plausible days, and clear reasons."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest

from docs.spellings import SPELLINGS
from services.events.coupons.messages import read_entry, read_focus
from services.events.payloads import UnreadableError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_760_000_000
YEAR = 366 * 24 * 3600


def as_json(document: object) -> bytes:
    return orjson.dumps(document)


IDS = [
    one for one in SPELLINGS["id"].json if not isinstance(one.written, int) or one.written < 2**64
]


@pytest.mark.parametrize("spelling", IDS, ids=lambda one: repr(one.written))
def test_ids_are_read_by_the_table_of_types(spelling) -> None:
    payload = as_json({"id": spelling.written, "ts": NOW})
    if spelling.reason is None:
        assert read_entry(payload, BERLIN).customer_id == spelling.value
    else:
        with pytest.raises(
            UnreadableError, match=re.escape(f"the customer's id: {spelling.reason}")
        ):
            read_entry(payload, BERLIN)


@pytest.mark.parametrize("identifier", ["127", 127, " 127 ", "0127", 127.0, "127.0", "+127"])
@pytest.mark.parametrize(
    "ts",
    [
        192322800,
        192322800.0,
        "192322800",
        "192322800.0",
        192322800.25,
        "192322800.999999",
    ],
)
def test_ids_and_times_in_any_spelling_are_the_same_event(identifier: object, ts: object) -> None:
    payload = as_json({"id": identifier, "ts": ts})
    event = read_entry(payload, BERLIN)
    assert (event.customer_id, event.ts) == (127, 192322800)
    # 23:00 in UTC is the next day at the shop.
    assert event.event_date == date(1976, 2, 5)
    assert read_entry(payload, ZoneInfo("UTC")).event_date == date(1976, 2, 4)


@pytest.mark.parametrize(
    ("moment", "ts"),
    [
        ("2025-10-09T08:53:20Z", NOW),
        ("2025-10-09T08:53:20.160Z", NOW),
        ("2025-10-09 08:53:20", NOW),
        ("2025-10-09T10:53:20+02:00", NOW),
        ("2025-10-09T10:53:20+0200", NOW),
        ("2025-10-09", NOW - (8 * 3600 + 53 * 60 + 20)),
    ],
)
def test_moments_in_any_spelling(moment: str, ts: int) -> None:
    document = {"event_timestamp": moment, "payload": {"customer_id": 3.0}}
    event = read_entry(as_json(document), BERLIN)
    assert (event.customer_id, event.ts) == (3, ts)


TIMES = [*SPELLINGS["timestamp"].text, *SPELLINGS["timestamp"].json]
LABELS = [*SPELLINGS["label"].text, *SPELLINGS["label"].json]
NUMBERS = [*SPELLINGS["number"].text, *SPELLINGS["number"].json]


@pytest.mark.parametrize("spelling", TIMES, ids=lambda one: repr(one.written))
def test_times_are_read_by_the_table_of_types(spelling) -> None:
    payload = as_json({"event_timestamp": spelling.written, "payload": {"customer_id": 3}})
    if spelling.reason is None:
        # Events are counted in whole seconds.
        moment = spelling.value.replace(tzinfo=UTC, microsecond=0)
        assert read_entry(payload, BERLIN).event_at == moment
    else:
        with pytest.raises(UnreadableError) as refused:
            read_entry(payload, BERLIN)
        assert str(refused.value) == f"event_timestamp: {spelling.reason}"


@pytest.mark.parametrize("spelling", LABELS, ids=lambda one: repr(one.written)[:30])
def test_departments_are_read_by_the_table_of_types(spelling) -> None:
    payload = as_json({"id": 7, "ts": NOW, "dep": spelling.written})
    if spelling.reason is None:
        assert read_focus(payload, BERLIN).department == spelling.value.strip()
    else:
        with pytest.raises(UnreadableError) as refused:
            read_focus(payload, BERLIN)
        assert str(refused.value) == f"the department: {spelling.reason}"


@pytest.mark.parametrize("spelling", NUMBERS, ids=lambda one: repr(one.written))
def test_places_are_read_by_the_table_of_types(spelling) -> None:
    payload = as_json({"id": 7, "ts": NOW, "dep": "Boys", "x": spelling.written, "y": None})
    if spelling.reason is None:
        assert read_focus(payload, BERLIN).customer_id == 7
    else:
        with pytest.raises(UnreadableError) as refused:
            read_focus(payload, BERLIN)
        assert str(refused.value) == f"x: {spelling.reason}"


def test_an_entry_has_no_place_to_be_wrong() -> None:
    event = read_entry(as_json({"id": 7, "ts": NOW, "x": {"y": 1}, "y": "north"}), BERLIN)
    assert event.customer_id == 7


@pytest.mark.parametrize(
    "ts", [-62135596800, -62135596801, -1, -(2**62), 253402300799, 2**62, NOW * 1000]
)
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
def test_a_day_before_1970_or_beyond_a_year_is_implausible(ts: int, zone: str) -> None:
    with pytest.raises(UnreadableError, match=r"^an implausible day: ts counts seconds"):
        read_entry(as_json({"id": 1, "ts": ts}), ZoneInfo(zone))


@pytest.mark.parametrize("moment", ["1969-12-31T23:59:59Z", "1000-01-01", "9999-12-31T23:59:59Z"])
def test_the_other_shape_has_the_same_days(moment: str) -> None:
    document = {"event_timestamp": moment, "payload": {"customer_id": 3}}
    with pytest.raises(UnreadableError, match=r"^an implausible day"):
        read_entry(as_json(document), BERLIN)


def test_the_edges_of_what_is_plausible() -> None:
    now = int(time.time())
    assert read_entry(as_json({"id": 1, "ts": 0}), ZoneInfo("UTC")).event_date == date(1970, 1, 1)
    event = read_entry(as_json({"id": 1, "ts": now + YEAR - 60}), ZoneInfo("UTC"))
    assert event.event_date - datetime.now(UTC).date() >= timedelta(days=365)
    # At the shop it was 1969 still.
    with pytest.raises(UnreadableError, match=r"^an implausible day"):
        read_entry(as_json({"id": 1, "ts": 3600}), ZoneInfo("America/Los_Angeles"))
    with pytest.raises(UnreadableError, match=r"^an implausible day"):
        read_entry(as_json({"id": 1, "ts": now + YEAR + 60}), BERLIN)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "the message is empty"),
        (b"{", "not JSON"),
        (b'"text"', "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b'{"id": "1"}', "the department is missing"),
        (b'{"id": "1", "dep": "Boys"}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": null}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": " "}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": -0.5}', "an implausible day"),
        (b'{"id": "1", "dep": "Boys", "ts": 1e300}', "ts: more than 15 digits"),
        (b'{"id": "1", "dep": "Boys", "ts": "17.6.2026"}', "ts: not a number"),
        (b'{"id": "1", "dep": "Boys", "ts": true}', "ts: not a number"),
        (b'{"id": "1", "dep": "Boys", "ts": [1]}', "ts: a value is wanted, not a list"),
        (b'{"id": "1", "dep": "Boys", "ts": 1760000000000}', "ts counts seconds"),
        (b'{"id": "1", "dep": "Boys", "ts": 9999999999999999999999}', "ts: "),
        (b'{"dep": "Boys", "ts": 1}', "the customer's id is missing"),
        (b'{"id": "Jane", "dep": "Boys", "ts": 1}', "the customer's id: not a number"),
        (b'{"id": false, "dep": "Boys", "ts": 1}', "the customer's id: not a number"),
        (b'{"id": 9223372036854775808, "dep": "Boys", "ts": 1}', "beyond 64 bits"),
        (b'{"id": "1", "dep": ["Boys"], "ts": 1}', "the department: a value is wanted, not a list"),
        (b'{"id": "1", "dep": " ", "ts": 1}', "the department is missing"),
        (b'{"id": "1", "dep": "%s", "ts": 1}' % (b"x" * 256), "longer than 255 characters"),
        (b'{"id": "1", "dep": "Boys", "ts": 1, "x": "left"}', "x: not a number"),
        (b'{"event_timestamp": "soon", "payload": {"customer_id": 1}}', "not a timestamp as"),
        (b'{"event_timestamp": 5, "payload": {"customer_id": 1}}', "not a timestamp as"),
        (b'{"payload": {"customer_id": 1, "category": "Boys"}}', "event_timestamp is missing"),
        (b'{"event_timestamp": "2021-03-18", "payload": 7}', "payload is not a JSON object"),
        (b'{"id": "1", "pad": "%s"}' % (b"x" * 70_000), "bytes; 65536 are read"),
    ],
)
def test_what_is_wrong_is_said_without_values(payload: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(reason)) as caught:
        read_focus(payload, BERLIN)
    assert "Jane" not in str(caught.value)
