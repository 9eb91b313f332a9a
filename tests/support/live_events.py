"""Events in the tables of the event service, written without the service."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg
from psycopg import sql

from services.events.database.migrate import migrate

Row = Mapping[str, Any]


def make_events_schema(connection: psycopg.Connection[Any]) -> None:
    """Makes the tables, empty; drops what was there."""
    connection.execute("drop schema if exists events cascade")
    assert migrate(connection)


def take_in(connection: psycopg.Connection[Any], table: str, rows: Sequence[Row]) -> None:
    """Writes rows in order, each an event of its own; missing values get a default."""
    for row in rows:
        values = PLAIN[table] | {"event_key": uuid4()} | dict(row)
        connection.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier("events", table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )


PLAIN: dict[str, dict[str, Any]] = {
    "decisions": {
        "kind": "entry",
        "customer_id": 1,
        "event_at": "2026-11-20T10:00:00Z",
        "event_date": "2026-11-20",
        "outcome": "prepared",
    },
    "loyalty_list": {"line": 1, "email": "a@b.c"},
    "basket_lines": {
        "line": 1,
        "household_key": 1,
        "basket_id": 1,
        "day": 700,
        "product_id": 1,
        "quantity": 1,
        "sales_value": "1.00",
    },
    "order_lines": {
        "line": 1,
        "order_id": 1,
        "customer_id": 1,
        "event_at": "2026-11-20T10:00:00Z",
        "product_id": 1,
        "paid_price": "1.00",
    },
    "conversions": {
        "line": 1,
        "promotion": "Hoodie",
        "conversion_type": "click",
        "email": "a@b.c",
        "is_code_sent": False,
        "is_new_member": False,
    },
}


def live_events(folders: Mapping[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """Events of the sample's customers and members, by table.

    Offers around the orders in which their coupons were used, members of the file and new ones, and
    of each kind some that must be left out.
    """
    chance = random.Random(7)
    zone = ZoneInfo("Europe/Berlin")
    orders = pd.read_csv(folders["store"] / "orders.csv")
    lines = pd.read_csv(folders["store"] / "order_lines.csv")
    departments = pd.read_csv(folders["store"] / "coupons.csv", index_col="coupon_id")["department"]
    used = lines.dropna(subset="coupon_id").merge(orders, on="order_id")
    decisions: list[dict[str, Any]] = []

    def decide(at: datetime, **more: Any) -> None:
        day = at.astimezone(zone).date()
        plain = {"department": None, "coupon_id": None, "reason": None, "event_date": day}
        decisions.append({"event_at": at} | plain | more)

    for one in used.sample(200, random_state=7).itertuples():
        ordered = datetime.fromisoformat(one.ordered_at).replace(tzinfo=zone)
        at = ordered - timedelta(seconds=chance.choice([-90000, -1, 0, 0.5, 60, 7000, 2e6]))
        department = departments[one.coupon_id].replace("Sports", "Sport")
        who = {"customer_id": int(one.customer_id)}
        decide(at, kind="entry", outcome="prepared", **who)
        focus = who | {"kind": "focus", "department": department}
        coupon = int(chance.choice([one.coupon_id, one.coupon_id, 1]))
        decide(at, outcome="offer", coupon_id=coupon, prediction=0.5, **focus)
        decide(at, outcome="no offer", reason="below the threshold", **focus)
        decide(at, outcome="no offer", reason="unknown", **(focus | {"department": None}))

    listed = (folders["loyalty"] / "LoyaltyList.txt").read_text().splitlines()
    emails = [line.partition(",")[0] for line in listed if "@" in line]
    emails = [*chance.sample(emails, 15), *(f"Live.{n}@Example.org" for n in range(15)), "none"]
    clicked = (folders["loyalty"] / "ClickConversion.txt").read_text().splitlines()
    promotions = sorted({line.partition(",")[0] for line in clicked if "," in line})[:3]
    began = datetime.fromisoformat("2026-11-20T08:00:00.25Z")
    members = [
        {
            "email": chance.choice(emails),
            "fb_user": chance.choice([None, "", "fb", " fb, with comma "]),
            "insta_user": chance.choice([None, "insta"]),
            "gender": chance.choice([None, "F", "M"]),
            # Some arrive at the same moment.
            "received_at": began + timedelta(minutes=place // 2),
        }
        for place in range(40)
    ]
    conversions = [
        {
            "promotion": chance.choice(promotions),
            "conversion_type": kind,
            "email": chance.choice(emails),
            "channel": chance.choice([None, "Facebook", "Instagram"]),
            "items": chance.choice([None, "[]", "[6; 14;]", "6"]),
            "total": chance.choice([None, "-0.01", "9.45", "0.00"]),
            "is_code_sent": kind == "click" and chance.random() < 0.3,
            "is_new_member": kind == "purchase" and chance.random() < 0.5,
            "received_at": began + timedelta(minutes=place),
        }
        for place, kind in enumerate(chance.choices(["click", "basket", "purchase"], k=150))
    ]
    return {"decisions": decisions, "loyalty_list": members, "conversions": conversions}
