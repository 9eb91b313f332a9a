"""Parts of the event service without a broker or a database: readers, keys, settings."""

import asyncio
import re
from datetime import date
from typing import TYPE_CHECKING, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from services.common.releases import Release
from services.events.coupons.catalogue import KEPT_AT_LEAST, Catalogue
from services.events.coupons.messages import read_entry, read_focus
from services.events.database.event_keys import answer_id, event_key, line_key
from services.events.loyalty.messages import Conversion, Listed, Refused, read_conversions
from services.events.loyalty.messages import read_loyalty_rows as read_rows
from services.events.payloads import UnreadableError
from services.events.settings import EventSettingsError, read_mqtt_settings

if TYPE_CHECKING:
    from services.common.database import Database

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("identifier", ["127", 127, " 127 ", "0127"])
def test_ids_come_as_text_or_numbers(identifier: object) -> None:
    payload = orjson.dumps({"id": identifier, "ts": 192322800})
    event = read_entry(payload, BERLIN)
    assert (event.customer_id, event.ts) == (127, 192322800)
    # 23:00 in UTC is the next day at the shop.
    assert event.event_date == date(1976, 2, 5)
    assert read_entry(payload, ZoneInfo("UTC")).event_date == date(1976, 2, 4)


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
        (b'{"id": "1", "dep": "Boys", "ts": 1.5}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": true}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": "1"}', "ts is missing"),
        (b'{"id": "1", "dep": "Boys", "ts": 1760000000000}', "it counts seconds"),
        (b'{"id": "1", "dep": "Boys", "ts": 9999999999999999999999}', "ts is missing"),
        (b'{"id": "Jane", "dep": "Boys", "ts": 1}', "the customer's id is missing"),
        (b'{"id": 1.0, "dep": "Boys", "ts": 1}', "the customer's id is missing"),
        (b'{"id": false, "dep": "Boys", "ts": 1}', "the customer's id is missing"),
        (b'{"id": 9223372036854775808, "dep": "Boys", "ts": 1}', "beyond 64 bits"),
        (b'{"id": "1", "dep": 5, "ts": 1}', "the department is missing or no text"),
        (b'{"id": "1", "dep": " ", "ts": 1}', "the department is missing or no text"),
        (b'{"id": "1", "dep": "%s", "ts": 1}' % (b"x" * 101), "more than 100 characters"),
        (b'{"id": "1", "dep": "Boys", "ts": 1, "x": "left"}', "x is no number"),
        (b'{"event_timestamp": "soon", "payload": {"customer_id": 1}}', "no ISO 8601 time"),
        (b'{"event_timestamp": 5, "payload": {"customer_id": 1}}', "missing or no text"),
        (b'{"event_timestamp": "2021-03-18", "payload": 7}', "payload is not a JSON object"),
        (b'{"id": "1", "pad": "%s"}' % (b"x" * 70_000), "bytes; 65536 are read"),
    ],
)
def test_what_is_wrong_is_said_without_values(payload: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(reason)) as caught:
        read_focus(payload, BERLIN)
    assert "Jane" not in str(caught.value)


def test_a_moment_before_the_first_year_is_refused() -> None:
    with pytest.raises(UnreadableError, match="years 1 to 9999"):
        read_entry(b'{"id": 1, "ts": -62135596801}', BERLIN)


def test_keys_are_of_the_sender_or_of_the_message() -> None:
    by_content = event_key("shop/in", b"{}", None)
    assert by_content == event_key("shop/in", b"{}", None)
    different = [
        event_key("shop/out", b"{}", None),
        event_key("shop/in", b"{ }", None),
        event_key("shop/in", b"{}", "1"),
        event_key("shop/i", b"n{}", None),
        event_key("shop/in", b"{}", "2"),
        event_key("shop/out", b"{}", "1"),
    ]
    assert len({by_content, *different}) == 7
    assert event_key("shop/in", b"{}", "1") == event_key("shop/in", b"something else", "1")
    answers = {answer_id(by_content, what) for what in ("code", "line")}
    lines = {line_key(by_content, line) for line in (1, 11, 2)}
    assert len({UUID(int=0), by_content, *answers, *lines}) == 7


def test_rows_are_read_like_files_are() -> None:
    rows = read_rows(
        b"\xef\xbb\xbfKanga@X.y, fb, , F\n\nb@x.y\nc@x.y, , insta, extra, M\n d , , , \n"
    )
    assert rows == [
        Listed("kanga@x.y", "fb", None, "F"),
        Listed("b@x.y", None, None, None),
        Listed("c@x.y", None, "insta", "M"),
        Refused(b" d , , , ", "no email"),
    ]
    with pytest.raises(UnreadableError, match="neither JSON nor text"):
        read_rows(b"\xff\xfea@x.y")
    with pytest.raises(UnreadableError, match="holds no row"):
        read_rows(b" \r\n ")
    with pytest.raises(UnreadableError, match="holds no row"):
        read_rows(b"[]")


def test_conversions_of_json_and_text_are_the_same() -> None:
    lines = b"H, ClickConversion, A@x.y, Instagram\nH, PurchaseConversion, a@x.y, [6;14], 18.64"
    rows = (
        b'[{"promotion": "H", "type": "click", "email": "a@x.y", "where": "Instagram"},'
        b'{"promotion": "H", "type": "PurchaseConversion", "email": "a@x.y", "items": [6, "14"],'
        b'"total": 18.64}]'
    )
    assert read_conversions(lines) == read_conversions(rows)
    assert [type(row) for row in read_conversions(rows)] == [Conversion, Conversion]


def test_a_text_in_a_list_is_no_line_when_it_is_read_again() -> None:
    line = b'"Hoodie, ClickConversion, a@x.y, Instagram"'
    (refused,) = read_conversions(b"[" + line + b"]")
    assert isinstance(refused, Refused)
    (again,) = read_conversions(refused.raw)
    assert again == refused


@pytest.mark.parametrize("total", [b"-1", b'"1,5"', b"1.234", b"true", b"null", b'"NaN"'])
def test_a_total_is_whole_cents(total: bytes) -> None:
    row = b'{"promotion": "H", "type": "purchase", "email": "a@x", "total": %s}' % total
    (found,) = read_conversions(row)
    assert isinstance(found, Refused)
    assert found.reason == "unreadable total"


def test_brokers_are_hosts_with_or_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_mqtt_settings().brokers(1884) == (("127.0.0.1", 1884),)
    for name in ("ENTRY_EVENT_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setenv("COUPON_PREDICTION_TOPIC_NAME", "out")
    monkeypatch.setenv("MQTT_PORT", "8883")
    monkeypatch.setenv("MQTT_HOST", "a, b:1, [::1]:2, ::1,")
    assert read_mqtt_settings().brokers(1884) == (("a", 8883), ("b", 1), ("::1", 2), ("::1", 8883))
    monkeypatch.setenv("MQTT_HOST", "a:b")
    with pytest.raises(EventSettingsError, match="MQTT_HOST: a:b has no port"):
        read_mqtt_settings().brokers(1884)
    monkeypatch.setenv("MQTT_HOST", " , ")
    with pytest.raises(EventSettingsError, match="names no broker"):
        read_mqtt_settings()


class CouponStore:
    """A database with coupons of a given size, which counts what it is asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[list[int]] = []

    async def fetch(self, _sql: str, coupons: list[int]) -> list[dict[str, object]]:
        self.asked.append(coupons)
        day = date(2025, 1, 1)
        return [
            {
                "coupon_id": coupon, "coupon_type": "department", "department": "Boys",
                "discount": 5, "how_many_products_required": None, "start_date": day,
                "end_date": day, "products": '["' + "x" * self.size + '"]',
            }
            for coupon in coupons
        ]  # fmt: skip


def test_documents_in_memory_are_limited_by_their_size() -> None:
    store = CouponStore(2**20)
    release = Release("store", 1, None, "test")
    catalogue = Catalogue(cast("Database", store), release)

    async def read() -> None:
        for coupon in range(200):
            await catalogue.read_documents([coupon])
            assert catalogue.document(coupon) is not None
        await catalogue.read_documents([199])

    asyncio.run(read())
    assert len(store.asked) == 200
    kept = [coupon for coupon in range(200) if catalogue.document(coupon) is not None]
    assert kept == list(range(200 - KEPT_AT_LEAST, 200))


def test_small_documents_all_stay_in_memory() -> None:
    store = CouponStore(500)
    catalogue = Catalogue(cast("Database", store), Release("store", 1, None, "test"))
    asyncio.run(catalogue.read_documents(range(5_000)))
    assert all(catalogue.document(coupon) is not None for coupon in range(5_000))
