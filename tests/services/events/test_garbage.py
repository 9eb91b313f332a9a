"""Garbage on every topic: set aside or recorded, never blocking, no personal data in any log."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.services.events.survival import (
    CODE_LINE,
    CONVERSION,
    ENTRY,
    FOCUS,
    LOYALTY,
    NOON,
    PREDICTION,
    Shop,
    eventually,
    open_shop,
)

pytestmark = pytest.mark.integration

# Whatever is somebody's: none of it may be in the log or in a reason.
NAME, EMAIL, NUMBER = "Quagmire", "zebulon@leak.example", 867530986753
MARKERS = (NAME, "zebulon", "leak.example", str(NUMBER))
PERSON = {"id": str(NUMBER), "name": NAME, "email": EMAIL}

DEAD = "dead letter"
UNKNOWN_CUSTOMER, UNKNOWN_DEPARTMENT = "unknown customer", "unknown department"
KILOBYTES = 200
# Near the largest packet that the installation's own broker takes.
LARGE = 1_000_000

# What nobody can read, whichever topic it comes on; none of it says which event it is.
ANYWHERE = [
    b"",
    b" ",
    b"\n\n",
    b"\0",
    b"\0\0\0" + NAME.encode(),
    b"\xff\xfe\x00" + EMAIL.encode(),
    b"\xc3(" + NAME.encode(),
    NAME.encode() + b"\xed\xa0\x80",
    NAME.encode("utf-16"),
    NAME.encode(),
    b"{",
    b'{"email":"' + EMAIL.encode(),
    json.dumps(PERSON).encode()[:-1],
    json.dumps(PERSON).encode() + b",",
    b"{'id': '" + str(NUMBER).encode() + b"'}",
    b'{"id": NaN, "email": Infinity}',
    b'{"email": "\\ud800' + EMAIL.encode() + b'"}',
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 500 + b"]" * 500,
    b'[{"email":' * 300 + b"1" + b"}]" * 300,
    NAME.encode() * (KILOBYTES * 1024 // len(NAME)),
    EMAIL.encode() * (LARGE // len(EMAIL)),
    json.dumps({"id": NUMBER, "name": NAME, "more": "x" * LARGE}).encode(),
    b"[" + b",".join([json.dumps(PERSON).encode()] * 13_000) + b"]",
]
# Values that stand where an event has something else, as JSON.
FRACTIONS = ["1.5", '"5.5"']
NO_WHOLE_NUMBERS = [
    *FRACTIONS, "null", "true", "false", "[]", "{}", '""', '"NaN"', '"5e3"', '"0x5"',
    '"--5"', '"-"', '"1_000"', '"\u0665"', "9223372036854775808", "-9223372036854775809", "1e999",
    "9" * 400, f'"{"9" * 400}"', f'"{NAME}"', f'"{EMAIL}"', f'["{NAME}"]', f'{{"id":"{NUMBER}"}}',
]  # fmt: skip


def focus(customer: str = '"5"', ts: str = str(NOON), department: str = '"Boys"') -> bytes:
    return f'{{"id":{customer},"ts":{ts},"dep":{department}}}'.encode()


def nested(customer: str = "5", moment: str = '"2024-05-14T12:00:00"', where: str = "") -> bytes:
    return f'{{"event_timestamp":{moment},"payload":{{"customer_id":{customer}{where}}}}}'.encode()


def entries() -> list[tuple[bytes, str]]:
    """Messages about a customer and a time, for either topic, and what becomes of them."""
    found = [(focus(customer=one), DEAD) for one in NO_WHOLE_NUMBERS]
    # A time may have a fraction.
    found += [(focus(ts=one), DEAD) for one in NO_WHOLE_NUMBERS if one not in FRACTIONS]
    found += [(nested(customer=one, where=',"category":"Boys"'), DEAD) for one in NO_WHOLE_NUMBERS]
    found += [
        (focus(customer=one), UNKNOWN_CUSTOMER)
        for one in (str(NUMBER), f'"{NUMBER}"', '"-5"', "0", "9223372036854775807", '" 999 "')
    ]
    # From 1970 to a year from now; milliseconds are neither.
    found += [
        (focus(ts=ts), DEAD)
        for ts in (
            "253402300800",
            "253402300799",
            "-62135596801",
            "-62135596800",
            "-1",
            "1715688000000",
        )
    ]
    found += [
        (nested(moment=moment, where=',"category":"Boys"'), DEAD)
        for moment in ("null", "5", '""', '"yesterday"', '"2024-13-01"', f'"{NAME}"', '"24:00"')
    ]
    found += [
        (b'{"payload":5,"event_timestamp":"2024-05-14"}', DEAD),
        (b'{"payload":null}', DEAD),
        (b"5", DEAD),
        (b'"5"', DEAD),
        (b"null", DEAD),
        (b"[]", DEAD),
        (b"{}", DEAD),
        (b"[" + focus() + b"]", DEAD),
    ]
    return found


# Beside those, what only a focus event has.
FOCUSES = [
    (focus(ts="192322800"), "no coupon valid on 1976-02-05"),
    (focus(ts="192322800.25"), "no coupon valid on 1976-02-05"),
    (focus(ts="0"), "no coupon valid on 1970-01-01"),
    (focus(customer='"2.0"', ts='"0.0"'), "no coupon valid on 1970-01-01"),
    # 22:59:59 and 23:00 in London, where the summer is not the shop's.
    (focus(ts="1735685999"), "offer"),
    (focus(ts="1735686000"), "no coupon valid on 2025-01-01"),
    (nested(where=f',"category":"{NAME}"'), UNKNOWN_DEPARTMENT),
    (focus(department=f'"{NAME}"'), UNKNOWN_DEPARTMENT),
    (focus(department='"Bo\\u0000ys"'), DEAD),
    (focus(department=f'"{EMAIL}"'), UNKNOWN_DEPARTMENT),
    (focus(department='"\\"; drop table events.decisions; --"'), UNKNOWN_DEPARTMENT),
    (focus(department='"Girls"'), "no coupon valid on 2024-05-14"),
    (focus(department="null"), DEAD),
    (focus(department="5"), UNKNOWN_DEPARTMENT),
    (focus(department='""'), DEAD),
    (focus(department='"  "'), DEAD),
    (focus(department=f'["{NAME}"]'), DEAD),
    (focus(department='"' + NAME * 50 + '"'), DEAD),
    (focus(department='"\\ud800"'), DEAD),
    (b'{"id":"5","ts":1}', DEAD),
    (b'{"id":"5","ts":1,"dep":"Boys","x":"north"}', DEAD),
]
WRONG_ROWS = [
    b"5",
    b"[5]",
    b"[null]",
    b'["' + EMAIL.encode() + b'"]',
    b"{}",
    b'{"email":5}',
    b'{"email":"' + NAME.encode() + b'"}',
    b'{"email":null}',
    b'{"email":["' + EMAIL.encode() + b'"]}',
    b'{"email":"zebulon\\u0000@leak.example"}',
    b"zebulon\0@leak.example," + NAME.encode() + b",x,y",
    NAME.encode() + b"," * 50_000,
    b"x\n" * 500_000,
    b"".join(b"%d@x.example,a,b,F\n" % number for number in range(2_001)),
    b"[" + b"{}," * 300_000 + b"{}]",
    b'{"email":"' + EMAIL.encode() * 100 + b'"}',
]
WRONG_CONVERSIONS = [
    *WRONG_ROWS,
    f"{NAME},click,{EMAIL}".encode(),
    f"{NAME},dance,{EMAIL},web".encode(),
    f",click,{EMAIL},web".encode(),
    f"{NAME},click,{NAME},web".encode(),
    *(
        f"{NAME},purchase,{EMAIL},1;2,{total}".encode()
        for total in ("", "-1", "1e5", "1.234", "\u0665", NAME, "9" * 17)
    ),
    *(
        f'{{"promotion":"P","type":"purchase","email":"{EMAIL}","total":{total}}}'.encode()
        for total in ("null", "true", "-1", "1e300", "[]", f'"{NAME}"')
    ),
    f'{{"promotion":"P","type":"basket","email":"{EMAIL}","items":[1.5,{{}}]}}'.encode(),
    f'{{"promotion":[5],"type":"basket","email":"{EMAIL}"}}'.encode(),
    f'{{"promotion":"P","type":["basket"],"email":"{EMAIL}"}}'.encode(),
]


@pytest.fixture
def shop(short_tmp: Path) -> Iterator[Shop]:
    with open_shop(short_tmp / "garbage") as found:
        yield found


def messages() -> list[tuple[str, bytes, str]]:
    """Topic, message, and what becomes of it."""
    found = [
        (topic, one, DEAD) for one in ANYWHERE for topic in (ENTRY, FOCUS, LOYALTY, CONVERSION)
    ]
    for payload, outcome in entries():
        found += [(ENTRY, payload, outcome), (FOCUS, payload, outcome)]
    found += [(FOCUS, *one) for one in FOCUSES]
    # Who enters on a day without coupons is prepared for, and offered nothing.
    found += [(ENTRY, focus(ts=ts), "prepared") for ts in ("192322800", '"192322800"', "0")]
    found += [(LOYALTY, one, DEAD) for one in WRONG_ROWS]
    found += [(CONVERSION, one, DEAD) for one in WRONG_CONVERSIONS]
    return found


def test_garbage_of_every_kind(shop: Shop) -> None:
    listener = shop.listener([PREDICTION, CODE_LINE])
    worker = shop.worker().start_and_wait()
    pid = worker.pid
    sender = shop.sender()
    everything = messages()
    for number, (topic, payload, _) in enumerate(everything):
        # The same garbage on two topics, or of two events, is two events.
        sender.send(topic, payload, f"{NAME}-{number}")
        # In between, what must be answered: customer 1 is offered coupon 2 of Boys.
        sender.send(FOCUS, focus(customer="1", ts=str(NOON + number)), f"good-{number}")
        sender.send(CONVERSION, f"P,click,good{number}@x.example,web".encode(), f"good-{number}")
    sender.wait()

    good = len(everything)
    clicks = "from events.conversions where email like 'good%'"
    eventually(lambda: shop.count(clicks) == good, seconds=60, what=worker.text)
    answered = "from events.decisions where customer_id = 1 and outcome = 'offer'"
    eventually(lambda: shop.count(answered) == good, seconds=60, what=worker.text)
    offers = "from events.decisions where outcome = 'offer'"
    eventually(
        lambda: len(listener.ids()) == shop.count(offers) + good, seconds=60, what="not all heard"
    )

    expected = Counter(
        (topic.removeprefix("pollux/"), outcome)
        for topic, _, outcome in everything
        if topic in {ENTRY, FOCUS} and outcome != DEAD
    )
    rows = shop.query(
        "select kind, coalesce(reason, outcome) from events.decisions where customer_id <> 1"
    )
    assert Counter(rows) == expected
    dead = Counter(shop.query("select topic from events.dead_letter"))
    for topic in (ENTRY, FOCUS):
        count = sum(1 for one, _, outcome in everything if (one, outcome) == (topic, DEAD))
        assert dead[(topic,)] == count, topic
    # A message may hold several rows, each set aside by itself, and the list has no other.
    for topic in (LOYALTY, CONVERSION):
        assert dead[(topic,)] >= sum(1 for one, *_ in everything if one == topic)
    assert shop.count("from events.loyalty_list") == 0
    assert shop.count("from events.conversions") == good

    assert worker.pid == pid
    assert worker.is_ready()
    metrics = httpx.get(f"http://127.0.0.1:{worker.port}/metrics", trust_env=False).text
    assert worker.stop() in {0, -signal.SIGTERM}
    log = worker.text()
    reasons = [reason for (reason,) in shop.query("select distinct reason from events.dead_letter")]
    assert shop.store.embedded is not None
    (of_broker,) = shop.settings.data_dir.rglob("broker.log")
    written = {
        "Dead letter": log,
        "pollux_events_dead_total": metrics,
        "database system is ready": shop.store.embedded.log.read_text(),
        "not JSON": "\n".join(reasons),
        # Without a fault it says nothing.
        "": of_broker.read_text(),
    }
    for sign, text in written.items():
        # There was something to scan.
        assert sign in text
        assert not [marker for marker in MARKERS if marker.lower() in text.lower()], sign
    assert "Traceback" not in log
    assert not [reason for reason in reasons if "internal error" in reason]
    assert not [reason for reason in reasons if "database refuses" in reason]
