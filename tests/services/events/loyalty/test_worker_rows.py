"""The loyalty list and conversions: members made and codes sent, on real files and at the edges."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.events.conftest import Shop
from tests.services.events.support import Client, Heard, Worker
from tests.support.programs import wait_for

FILES = ("LoyaltyList", "ClickConversion", "BasketConversion", "PurchaseConversion")
Send = Callable[[Client, str, str], None]
CODES, LINES = "pollux/promo-code", "pollux/promo-code-line"


def _topic(name: str) -> str:
    return "pollux/loyalty-list" if name == "LoyaltyList" else "pollux/conversion"


def _send_lines(client: Client, name: str, text: str) -> None:
    for number, line in enumerate(text.splitlines()):
        # Lines repeat, so what they are is not enough to tell events apart.
        client.send(_topic(name), line.encode(), f"{name}-{number}")


def _send_file(client: Client, name: str, text: str) -> None:
    client.send(_topic(name), text.encode())


def _send_json(client: Client, name: str, text: str) -> None:
    rows = []
    for line in filter(str.strip, text.splitlines()):
        parts = [part.strip() for part in line.split(",")]
        if name == "LoyaltyList":
            row = {"email": parts[0], "fb_user": parts[1] or None, "insta_user": parts[2] or None}
            rows.append(row | {"gender": parts[-1]})
            continue
        row = {"promotion": parts[0], "type": parts[1], "email": parts[2]}
        if name == "ClickConversion":
            row["where"] = parts[3]
        else:
            row["items"] = [int(item) for item in parts[3].strip("[]").split(";") if item]
        if name == "PurchaseConversion":
            row["total"] = float(parts[4])
        rows.append(row)
    client.send(_topic(name), rows)


@pytest.mark.parametrize("send", [_send_file, _send_json])
def test_real_files_have_their_published_outcome(
    shop: Shop, worker: Worker, client: Client, realdata: Path, send: Send
) -> None:
    """List, then clicks, then baskets, then purchases."""
    check_published_outcome(shop, client, realdata, send)


def test_real_lines_one_by_one_have_their_published_outcome(
    shop_v5: Shop, worker: Worker, client: Client, realdata: Path
) -> None:
    """343 messages; amqtt gives up one that waits for 5 s, which a busy machine makes it do."""
    check_published_outcome(shop_v5, client, realdata, _send_lines)


def _answers(client: Client, topic: str) -> list[Heard]:
    """What came on a topic; what is published a second time has the id of the first (MQTT 5)."""
    heard = enumerate(client.on(topic))
    return list({one.answer_id or number: one for number, one in heard}.values())


def check_published_outcome(shop: Shop, client: Client, realdata: Path, send: Send) -> None:
    shop.execute("delete from loyalty__r1.members")
    for name in FILES:
        send(client, name, (realdata / "promotions" / f"{name}.txt").read_text())
    wait_for(lambda: shop.rows("select count(*) from events.conversions") == [(222,)])
    wait_for(lambda: len(_answers(client, LINES)) == 222 and len(_answers(client, CODES)) == 6)
    assert shop.rows(
        "select count(*), count(*) filter (where joined_by = 'purchase') from events.members"
    ) == [(144, 23)]
    assert shop.rows("select count(*) from events.promo_codes") == [(6,)]
    assert shop.rows("select count(*) from events.dead_letter") == [(0,)]
    sums = "select conversion_type, count(*), sum(total) from events.conversions group by 1"
    assert {row[0]: (row[1], str(row[2])) for row in shop.rows(sums)} == {
        "click": (100, "None"), "basket": (98, "None"), "purchase": (24, "301.96")
    }  # fmt: skip
    # Beside a plain reading of the same files: one code per member who clicked.
    listed = (realdata / "promotions/LoyaltyList.txt").read_text().splitlines()
    members = {line.split(",")[0].strip().lower() for line in listed if "@" in line}
    clicks = (realdata / "promotions/ClickConversion.txt").read_text().splitlines()
    clicked = {line.split(",")[2].strip().lower() for line in clicks if line.strip()}
    assert {one.document["email"] for one in _answers(client, CODES)} == members & clicked
    assert all(one.document["send_promo_code"] is True for one in _answers(client, CODES))
    told = [one.payload.decode() for one in _answers(client, LINES)]
    assert all(text.startswith("Send additional promo code to: ") for text in told)
    assert sorted(text for text in told if text.endswith(", True\n")) == sorted(
        f"Send additional promo code to: {email}, True\n" for email in members & clicked
    )


def test_the_order_of_events_decides(shop_v5: Shop, worker: Worker, client: Client) -> None:
    steps = [
        ("click", "a@x.y", False),  # a stranger
        ("purchase", "a@x.y", False),  # a member from here on
        ("click", "A@X.Y", True),
        ("click", "a@x.y", False),  # one code per promotion
        ("click", "released@shop.example", True),  # a member of the released list
        ("basket", "released@shop.example", False),
    ]
    for number, (kind, email, _) in enumerate(steps):
        more = {"where": "Facebook"} if kind == "click" else {"items": "[6]", "total": "9.45"}
        row = {"promotion": "Hoodie", "type": kind, "email": email, **more}
        client.send("pollux/conversion", row, str(number))
    client.send(
        "pollux/conversion",
        {"promotion": "Other", "type": "click", "email": "a@x.y", "where": "Facebook"},
    )
    wait_for(lambda: len(client.on(LINES)) == len(steps) + 1 and len(client.on(CODES)) == 3)
    expected = [
        f"Send additional promo code to: {email.lower()}, {is_sent}\n"
        for _, email, is_sent in [*steps, ("click", "a@x.y", True)]
    ]
    assert [one.payload.decode() for one in client.on(LINES)] == expected
    assert shop_v5.rows("select email, joined_by from events.members") == [("a@x.y", "purchase")]
    client.send("pollux/loyalty-list", b"a@x.y, fb_a, , F")
    wait_for(
        lambda: (
            shop_v5.rows("select fb_user, insta_user, gender, joined_by from events.members")
            == [("fb_a", None, "F", "list")]
        )
    )


def test_one_broken_line_does_not_stop_the_others(
    any_shop: Shop, worker: Worker, client: Client
) -> None:
    lines = [
        "Hoodie, ClickConversion, a@x.y, Instagram",
        "Hoodie, ClickConversion, nobody, Instagram",
        "Hoodie, BrowseConversion, a@x.y, Instagram",
        ", ClickConversion, a@x.y, Instagram",
        "Hoodie, ClickConversion, a@x.y",
        "Hoodie, PurchaseConversion, a@x.y, [6], 9.455",
        "",
        "Hoodie, PurchaseConversion, a@x.y, [6;14;], 9.45",
    ]
    client.send("pollux/conversion", "\r\n".join(lines).encode())
    client.send("pollux/loyalty-list", json.dumps([{"email": "b@x.y"}, {"email": 5}, 7]).encode())
    wait_for(lambda: any_shop.rows("select count(*) from events.loyalty_list") == [(1,)])
    rows = "select conversion_type, channel, items, total::text from events.conversions order by 1"
    assert any_shop.rows(rows) == [
        ("click", "Instagram", None, None),
        ("purchase", None, "6;14", "9.45"),
    ]
    wait_for(lambda: any_shop.rows("select count(*) from events.dead_letter") == [(7,)])
    reasons = [row[0] for row in any_shop.rows("select reason from events.dead_letter")]
    assert sorted(reasons) == sorted(
        ["no email", "unknown conversion type", "missing promotion", "missing channel",
         "unreadable total", "no email", "not a JSON object"]
    )  # fmt: skip
    kept = [bytes(row[0]) for row in any_shop.rows("select payload from events.dead_letter")]
    assert lines[1].encode() in kept
    assert b'{"email":5}' in kept


def test_what_was_done_stays_done_when_its_key_is_forgotten(
    any_shop: Shop, worker: Worker, client: Client
) -> None:
    click = b"Hoodie, ClickConversion, released@shop.example, Instagram"
    client.send("pollux/conversion", click)
    client.send("pollux/loyalty-list", b"a@x.y, , , F")
    wait_for(lambda: client.on(CODES) and any_shop.rows("select 1 from events.loyalty_list"))
    any_shop.execute("truncate events.inbox")
    client.send("pollux/conversion", click)
    client.send("pollux/loyalty-list", b"a@x.y, , , F")
    wait_for(lambda: any_shop.rows("select count(*) from events.inbox") == [(2,)])
    for table in ("conversions", "loyalty_list", "promo_codes"):
        assert any_shop.rows(f"select count(*) from events.{table}") == [(1,)]
    assert any_shop.rows("select count(*) from events.dead_letter") == [(0,)]
    assert len(client.on(CODES)) == 1
