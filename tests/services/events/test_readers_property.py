"""Any message is an event or unreadable, and no reason quotes it."""

import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.events.coupons.messages import StoreEvent, read_entry, read_focus
from services.events.loyalty.messages import (
    Conversion,
    Listed,
    Refused,
    read_conversions,
    read_loyalty_rows,
)
from services.events.payloads import UnreadableError

ZONE = ZoneInfo("Europe/Berlin")
# Stands for whatever is somebody's; nothing that the readers say themselves holds it.
MARKER = "qz7"

texts = st.one_of(
    st.text(max_size=20).map(lambda text: MARKER + text),
    st.sampled_from(["", " ", "5", "-5", "1e9", MARKER * 400, f"{MARKER}@x.example", "\0", "Boys"]),
)
numbers = st.one_of(
    st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([192322800, 10**400])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
STORE_FIELDS = ("id", "ts", "dep", "x", "y", "event_timestamp", "customer_id", "category")
store_fields = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(STORE_FIELDS, values),
)
store_documents = st.one_of(
    store_fields,
    st.builds(lambda outer, inner: {**outer, "payload": inner}, store_fields, values),
    st.builds(lambda outer, inner: {**outer, "payload": inner}, store_fields, store_fields),
)
LOYALTY_FIELDS = ("promotion", "type", "email", "where", "items", "total", "fb_user", "gender")
loyalty_documents = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(LOYALTY_FIELDS, values)
    | {"type": st.one_of(values, st.sampled_from(["click", "basket", "Purchase"]))},
)
lines = st.lists(
    st.one_of(texts, st.sampled_from(["click", "basketConversion", "purchase", "9.50"])), max_size=7
).map(",".join)


def as_json(document: object) -> bytes:
    # Without replacing what has no place in UTF-8: that is garbage, too.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


garbage = st.one_of(
    st.binary(),
    st.binary().map(lambda some: MARKER.encode() + some),
    values.map(as_json),
    values.map(as_json).map(lambda payload: payload[:-1]),
    st.integers(1, 3000).map(nested),
    st.integers(1, 3000).map(lambda depth: b'[{"email":"qz7@x.example"},' + nested(depth) + b"]"),
)


@settings(max_examples=400)
@pytest.mark.parametrize("read", [read_entry, read_focus])
@given(payload=st.one_of(garbage, store_documents.map(as_json)))
def test_entry_and_focus_events(read, payload: bytes) -> None:
    try:
        event = read(payload, ZONE)
    except UnreadableError as error:
        reason = str(error)
    else:
        assert isinstance(event, StoreEvent)
        assert -(2**63) <= event.customer_id < 2**63
        assert (event.department is None) == (read is read_entry)
        return
    assert MARKER not in reason.lower()


@settings(max_examples=400)
@pytest.mark.parametrize("read", [read_loyalty_rows, read_conversions])
@given(
    payload=st.one_of(
        garbage,
        loyalty_documents.map(as_json),
        st.lists(st.one_of(loyalty_documents, values), max_size=4).map(as_json),
        st.lists(lines, max_size=4).map(lambda some: "\n".join(some).encode()),
    )
)
def test_loyalty_rows_and_conversions(read, payload: bytes) -> None:
    rows, reason = [], ""
    try:
        rows = read(payload)
    except UnreadableError as error:
        reason = str(error)
    assert rows or reason
    assert MARKER not in reason.lower()
    for row in rows:
        if isinstance(row, Refused):
            assert MARKER not in row.reason.lower()
        else:
            assert isinstance(row, Listed if read is read_loyalty_rows else Conversion)
            assert "@" in row.email
            assert not any(isinstance(part, str) and "\0" in part for part in row)
