"""What the API's tests share: releases made by hand, and servers.

The tables are made from the models' contracts, so a change of a contract changes what is served.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import uvicorn
from fastapi import FastAPI

from pollux.contracts import contract_json
from pollux.runtime.roles import make_reader
from pollux.runtime.serving import READER_ROLE, ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from services.common.contracts import contract_of
from services.common.server import configure
from tests.support.marts import declared_marts
from tests.support.own_postgres import VARIABLE, new_database
from tests.support.programs import free_port

PROJECT_DIR = Path(__file__).resolve().parents[3]
Row = dict[str, Any]

SECTIONS = [
    "alcohol", "beverages", "concessions", "dairy", "drug", "garden", "grain_goods", "grocery",
    "home_family", "junk_food", "kitchen", "meat", "misc", "produce", "seasonal",
]  # fmt: skip
# Household 1 as published in the summary document.
SUMMARY = {
    "index": 0, "household_key": 1, "age_45_plus": True, "income_50K_plus": False,
    "single_couple_family": 2, "has_kids": False, "single": False, "couple": True,
    "r_score": 5, "f_score": 3, "m_score": 4, "rfm_score": 12, "rfm_bins": 3,
    "alcohol": 6.48, "beverages": 314.83, "concessions": 20.33, "dairy": 362.76, "drug": 53.44,
    "garden": 0.0, "grain_goods": 668.41, "grocery": 230.24, "home_family": 537.29,
    "junk_food": 764.02, "kitchen": 1.59, "meat": 379.04, "misc": 303.82, "produce": 477.82,
    "seasonal": 0.0, "total_sales": 4120.07,
}  # fmt: skip
# Of every release that is there from the start.
NUMBER = 3
# The request that the voucher service was published with.
PUBLISHED = {
    "customer_id": 123,
    "country_code": "Peru",
    "last_order_ts": "2018-05-03 00:00:00",
    "first_order_ts": "2017-05-03 00:00:00",
    "total_orders": 15,
    "segment_name": "recency_segment",
}
SEGMENTS = (
    "Champions", "Loyal", "Potential loyalists", "New", "Promising", "Need attention",
    "About to sleep", "At risk", "Cannot lose them", "Hibernating", "Lost",
)  # fmt: skip
WITHOUT_DEMOGRAPHICS = 2
NOWHERE = 4711
LARGEST = 2**63 - 1
# What a change may take to be seen by every request that starts after it.
PROMISED_SECONDS = 1.0


DOMAINS = ("household", "customer", "store", "loyalty")


def contracts(domain: str = "household") -> dict[str, Row]:
    """The served models of a domain as their YAML declares them, by name."""
    return {model["name"]: model for model in declared_marts(domain)}


def primary_key(model: Row) -> list[str]:
    for constraint in model["constraints"]:
        if constraint["type"] == "primary_key":
            return constraint["columns"]
    raise AssertionError(model["name"])


def dated(rows: list[Row]) -> list[Row]:
    """The rows with the date of every day of the study beside it, as JSON has it."""

    def date_of(day: int | None) -> str | None:
        return None if day is None else str(date(2004, 3, 22) + timedelta(days=day))

    dates = {
        name: name.removesuffix("day") + "date"
        for name in (rows[0] if rows else ())
        if f"_{name}".endswith("_day") and name != "baskets_per_day"
    }
    return [row | {dates[name]: date_of(row[name]) for name in dates} for row in rows]


def household_rows(number: int) -> list[Row]:
    """Forty households with ties in every sort; `baskets` tells the release they are of."""
    rows = [
        {
            "household_key": 1, "first_day": 102, "last_day": 706, "baskets": number,
            "baskets_per_day": 0.1, "total_sales": Decimal("4120.07"), "r_score": 5, "f_score": 3,
            "m_score": 4, "rfm_score": 12, "rfm_bins": 3, "has_demographics": True,
        }
    ]  # fmt: skip
    for key in [*range(2, 40), -5, LARGEST]:
        r, f, m = key % 5 + 1, key % 4 + 1, key % 3 + 1
        rows.append(
            {
                "household_key": key, "first_day": 101, "last_day": 600 + key % 7,
                "baskets": number, "baskets_per_day": 1 / 3,
                "total_sales": Decimal(key % 6 * 100) + Decimal("0.10"), "r_score": r,
                "f_score": f, "m_score": m, "rfm_score": r + f + m,
                "rfm_bins": min(5, (r + f + m) // 3), "has_demographics": key % 2 == 1,
            }
        )  # fmt: skip
    return dated(rows)


def segment_rows(number: int) -> list[Row]:
    """The forty households in the segments in turn, but in the last two nobody."""
    return [
        {
            "household_key": row["household_key"], "segment": SEGMENTS[place % 9],
            "since_day": 652 + 28 * (place % 3), "r_score": row["r_score"],
            "f_score": row["f_score"], "m_score": row["m_score"],
            "last_day": row["last_day"], "days_since_visit": place % 4,
            "baskets_per_day": row["baskets_per_day"], "total_sales": row["total_sales"],
            "why": f"because of {number}",
        }
        for place, row in enumerate(household_rows(number))
    ]  # fmt: skip


def history_rows(number: int) -> list[Row]:
    return [
        {
            "household_key": key, "period_end": end, "period_end_date": date(2006, 1, 3),
            "segment": "New", "previous_segment": None if end == 652 else "New", "since_day": 652,
            "r_score": 5, "f_score": 1, "m_score": 1,
            "last_day": 650, "baskets": number, "baskets_per_day": 0.5,
            "total_sales": Decimal("9.99"),
        }
        for key in (1, 2)
        for end in (652, 680, 708)
    ]  # fmt: skip


def household_release(number: int) -> dict[str, list[Row]]:
    households = household_rows(number)
    spend = {section: Decimal("1.25") for section in SECTIONS}
    summaries = [{**SUMMARY}]
    for row in households[1:]:
        if row["has_demographics"]:
            summaries.append({
                **SUMMARY, "index": len(summaries), "household_key": row["household_key"],
                "single_couple_family": None,
            })  # fmt: skip
    campaigns = [
        {
            "campaign": campaign, "campaign_type": kind, "start_day": 587, "end_day": 642,
            "first_day": first, "last_day": last, "duration_days": 56, "days_before": 56,
            "days_after": 56, "products": 3, "sales_before": Decimal("10.50"),
            "sales_during": Decimal("20.00"), "sales_after": Decimal("0.00"),
            "households_targeted": 12, "households_redeeming": 2, "redemptions": number,
        }
        for campaign, kind, first, last in [
            (3, "TypeB", None, None), (8, None, 587, 642), (18, "TypeA", 587, 642),
            (26, "TypeB", 587, 642), (30, "TypeC", 587, 642),
        ]
    ]  # fmt: skip
    return {
        "household_rfm": households,
        "household_segments": segment_rows(number),
        "household_segment_history": history_rows(number),
        "segment_sizes": [
            {
                "period_end": end, "period_end_date": date(2006, 1, 3) + timedelta(days=end - 652),
                "position": place, "segment": segment, "meaning": f"meaning {number}",
                "households": place % 3 * 10, "share": place % 3 / 7,
                "total_sales": Decimal(place) + Decimal("0.50"), "sales_share": place / 66,
                "is_latest": end == 708,
            }
            for end in (652, 680, 708)
            for place, segment in enumerate(SEGMENTS, start=1)
        ],
        "segment_moves": [
            {
                "period_end": end, "period_end_date": date(2006, 1, 3) + timedelta(days=end - 652),
                "from_segment": before, "to_segment": after, "households": number,
                "total_sales": Decimal(end) + Decimal("0.10"),
            }
            for end in (680, 708)
            for before in ("none", "At risk", "Champions")
            for after in ("Champions", "Lost")
        ],
        "hh_summary": summaries,
        "daily_hh_spend": [
            {"day": day, "household_key": key, **spend, "total_sales": Decimal("18.75")}
            for key in (1, 2)
            for day in range(102, 102 + 7 * key, 3)
        ],
        "household_weekly_sales": [
            {"household_key": key, "week_no": week, "baskets": number, "lines": 3, "quantity": 4,
             "total_sales": Decimal("9.99")}
            for key in (1, 2)
            for week in range(16, 31)
        ],
        "campaign_summary": campaigns,
        "campaign_response": [
            {"household_key": key, "campaign": campaign, "campaign_type": "TypeA",
             "start_day": 580, "end_day": 640, "redemptions": key - 1, "coupons_redeemed": key - 1,
             "first_redemption_day": 590 if key > 1 else None,
             "days_to_redeem": 10 if key > 1 else None, "is_targeted": True,
             "has_redeemed": key > 1}
            for key in (1, 2)
            for campaign in (3, 18)
        ],
        "campaign_segments": [
            {"campaign": campaign, "position": place, "segment": segment,
             "households_targeted": 4, "households_redeeming": place % 3,
             "redemption_rate": place % 3 / 4,
             **{f"{mean}sales_{stretch}": Decimal(number + place) / 4
                for mean in ("", "mean_") for stretch in ("before", "during", "after")}}
            for campaign in (8, 18)
            for place, segment in enumerate([*SEGMENTS, "none"], start=1)
        ],
        "daily_campaign_sales": [
            {"day": day, "campaign": 18, "lines": 2, "quantity": number,
             "total_sales": Decimal("5.00")}
            for day in range(587, 600)
        ],
        "product_recommendations": [
            {"household_key": key, "rank": rank, "product_id": 100 + rank, "score": 1 / rank,
             "kind": "repeat" if rank % 3 else "new", "reason": f"reason {number}",
             "purchases": rank % 3, "usual_days": 7 if rank % 3 == 2 else None,
             "last_days": 4 if rank % 3 else None, "department": "GROCERY", "commodity": "SOUP",
             "sub_commodity": "CONDENSED SOUP", "brand": ["National", "Private"][rank % 2],
             "size": None if rank % 4 == 1 else "10.75 OZ"}
            for key in (1, 2, 3)
            for rank in range(1, 31 if key < 3 else 2)
        ],
        "commodity_associations": [
            {"commodity": commodity, "associated_commodity": other, "baskets": 10 + place,
             "commodity_baskets": 40, "associated_baskets": 20, "all_baskets": 100,
             "support": (10 + place) / 100, "confidence": (10 + place) / 40,
             "lift": 5 / (place + 1), "leverage": 0.01 * (place % 4 - 1),
             "conviction": None if place == 2 else 1.5 - place / 10}
            for commodity in ("SOUP", "CRACKERS/MISC BKD FD")
            for place, other in enumerate(["BEEF", "CORN", "EGGS", "TEA", "a/b"])
        ],
        "products": [
            {"product_id": key, "manufacturer": key % 4,
             "department": None if key % 9 == 4 else ["GROCERY", "MEAT, FRESH"][key % 2],
             "brand": ["National", "Private"][key % 3 // 2],
             "commodity": None if key % 9 == 4 else ["SOUP", "BEEF", "CHEESE", "A_B 50%"][key % 4],
             "sub_commodity": ["CONDENSED SOUP", "Beef, ground", "=A1+1", "-5 \"OFF\""][key % 4],
             "size": [None, "10.75 OZ", "", "@home", "'t"][key % 5],
             "section": ["grocery", "meat", "misc"][key % 3]}
            for key in [*range(101, 131), -5, LARGEST]
        ],
        "commodities": [
            {"commodity": commodity, "section": section, "products": 3 + place, "lines": number,
             "total_sales": Decimal(place % 3) + Decimal("0.50")}
            for place, (commodity, section) in enumerate([
                ("SOUP", "grocery"), ("CRACKERS/MISC BKD FD", "grocery"), ("BEEF", "meat"),
                ("SALT, PEPPER", "grocery"), ("SALT", "grocery"), ("+PLUS", "misc"),
            ])
        ],
        "promotion_effect": [
            {"commodity": commodity, "support": support, "product_store_weeks_with": 10,
             "units_with": 20 + place, "sales_with": Decimal("30.50"),
             "product_store_weeks_without": 40, "units_without": 50 * place,
             "sales_without": Decimal(60 * place),
             "units_ratio": 1.5 / place if place else None,
             "sales_ratio": 2.5 * place if place else None}
            for place, commodity in enumerate(["SOUP", "BEEF", "SALT, PEPPER"])
            for support in ("display", "mailer")
        ],
    }  # fmt: skip


class Assignment(NamedTuple):
    """A voucher assignment as the models leave it."""

    country_code: str | None
    frequency_segment: str | None
    recency_segment: str | None
    voucher_amount: Decimal | None


def assignments(number: int) -> list[Assignment]:
    """Assignments of a few countries, with ties, gaps, and amounts that are not whole.

    Peru has one amount, China has no customer of 5 to 13 orders, Narnia has no vouchers at all,
    and the amount of Relandia is the number of the release.
    """
    frequencies = [None, "0-4", "5-13", "14-37"]
    recencies = [None, "30-60", "61-90", "91-120", "121-180", "180+"]
    amounts = [None, Decimal(2640), Decimal("3520.50"), Decimal("0.10"), Decimal(4400)]
    found = []
    for step in range(240):
        frequency, recency = frequencies[step % 4], recencies[step % 6]
        found.append(Assignment("Peru", frequency, recency, Decimal(2640) if step % 3 else None))
        # Multiples of 7 wander through the amounts without a pattern of 4 or 6.
        amount = amounts[step * 7 // 3 % 5]
        found.append(Assignment("São Tomé", frequency, recency, amount))
        if frequency != "5-13" and recency not in {"61-90", "180+"}:
            found.append(Assignment("China", frequency, recency, amounts[step * step % 5]))
    found += [Assignment("Narnia", "0-4", "180+", None)] * 3
    found += [Assignment(None, "0-4", "30-60", Decimal(7))] * 2
    found.append(Assignment("Relandia", "0-4", "180+", Decimal(number)))
    return found


def ranking_rows(number: int) -> list[Row]:
    uses: dict[tuple[str, str, str], Counter[Decimal]] = {}
    for one in assignments(number):
        if one.country_code is None or one.voucher_amount is None:
            continue
        for name, segment in [
            ("country", "all"),
            ("frequency_segment", one.frequency_segment),
            ("recency_segment", one.recency_segment),
        ]:
            if segment is not None:
                group = uses.setdefault((one.country_code, name, segment), Counter())
                group[one.voucher_amount] += 1
    rows = []
    for (country, name, segment), group in uses.items():
        ordered = sorted(group.items(), key=lambda item: (item[1], item[0]), reverse=True)
        for rank, (amount, times) in enumerate(ordered, start=1):
            rows.append({
                "country_code": country, "segment_name": name, "segment": segment,
                "voucher_amount": amount, "times_used": times, "share": times / group.total(),
                "rank": rank,
            })  # fmt: skip
    return rows


def account_rows(number: int) -> list[Row]:
    """Accounts of which some lack a day of sign-up; the referral code tells the release."""
    rows = []
    for key in [9693465, *range(1, 30), -5, LARGEST]:
        signed_up = None if key % 7 == 3 else date(2021, 1 + key % 5, 1 + key % 3)
        rows.append({
            "account_number": key, "account_status": None if key % 11 == 1 else "ACT",
            "sign_up_date": signed_up, "churn_date": date(2023, 1, 31) if key % 4 == 1 else None,
            "first_service_live_date": date(2022, 1, 8), "end_of_onboarding_period": None,
            "sign_up_source": ["web", "phone", None][key % 3],
            "property_occupier_status_at_sign_up": "owner", "referral_type": None,
            "referral_type_code": str(number), "referrers_account_number": None,
        })  # fmt: skip
    return rows


def customer_release(number: int) -> dict[str, list[Row]]:
    day = "2020-01-01T12:30:00Z"
    outcomes = ["kept", "empty order count", "zero order count", "exact duplicate"]
    return {
        "voucher_assignment_segmented": [
            {"assignment_id": place, "timestamp": day, "last_order_ts": day, "first_order_ts": day,
             "total_orders": 1, **one._asdict()}
            for place, one in enumerate(assignments(number), start=1)
        ],
        "voucher_ranking": ranking_rows(number),
        "voucher_segments": [
            {"segment_name": name, "segment": segment, "position": position,
             "first_number": first, "last_number": last}
            for name, position, segment, first, last in [
                ("frequency_segment", 1, "0-4", 0, 4), ("frequency_segment", 2, "5-13", 5, 13),
                ("frequency_segment", 3, "14-37", 14, 37), ("recency_segment", 1, "30-60", 30, 60),
                ("recency_segment", 2, "61-90", 61, 90), ("recency_segment", 3, "91-120", 91, 120),
                ("recency_segment", 4, "121-180", 121, 180),
                ("recency_segment", 5, "180+", 181, None),
            ]
        ],
        "voucher_cleaning_report": [
            {"outcome": outcome, "rows": place, "is_kept": outcome == "kept"}
            for place, outcome in enumerate(outcomes)
        ],
        "customers": account_rows(number),
        "customer_broadband": [
            {"account_number": 9693465, "service_number": service, "package": "Fibre 100",
             "speed_mbps": 100, "monthly_price": Decimal("29.90"),
             "start_date": date(2022, 1, 8), "end_date": None, "is_running": True}
            for service in (77, 5, 600)
        ],
        "customer_initial_services": [
            {"account_number": 9693465, "service": service, "quantity": None,
             "ordered_date": date(2021, 12, 20)}
            for service in ("mobile", "gas", "electricity", "broadband")
        ],
        "customer_cashback": [
            {"account_number": key, "cashback_month": date(2022, month, 1),
             "card_spend": Decimal("412.50"), "cashback_amount": None}
            for key in (9693465, 2) for month in (11, 2, 3, 12)
        ],
    }  # fmt: skip


def store_release(number: int) -> dict[str, list[Row]]:
    """A shop of five departments; the coupons' required items and the ages tell the release."""
    departments = ["Boys", "Girls", "Men", "Sport", "Women"]
    kinds = ["buy_more", "buy_all", "just_discount", "department"]
    products = [
        {
            "product_id": key,
            "name": f"Shirt {key}",
            "category": ["Shirt", "Vest", None][key % 3],
            "sizes": "S-XL",
            "vendor": ["Prada", "Bear's & Co; --"][key % 2],
            "description": None,
            "buy_price": None if key % 9 == 4 else Decimal(key % 5) + Decimal("0.95"),
            "department": departments[key % 5],
        }
        for key in [*range(1, 41), -5, LARGEST]
    ]
    coupons = [
        {
            "coupon_id": key,
            "coupon_type": kinds[key % 4],
            "department": departments[key % 5],
            "discount": 10 * (key % 6),
            "how_many_products_required": number,
            "start_date": date(2010, 1 + key % 4, 1),
            "end_date": date(2010, 3 + key % 3, 28),
            "product_mean_price": None if key % 4 == 3 else Decimal(key % 3) + Decimal("1.50"),
            "products_available": 3,
        }
        for key in [*range(1, 31), -5, LARGEST]
    ]
    customers = [
        {
            "customer_id": key,
            "gender": ["F", "M", None][key % 3],
            "age": None if key % 8 == 5 else 18 + key % 50,
            "mean_buy_price": Decimal("12.34"),
            "total_coupons_used": key % 4,
            "unique_products_bought": 9,
            "mean_discount_received": None if key % 5 == 0 else Decimal(key % 7) - Decimal("0.50"),
            "unique_products_bought_with_coupons": 3,
            "total_items_bought": number + key % 3,
        }
        for key in [*range(1, 36), -5, LARGEST]
    ]
    links = [
        {"coupon_id": coupon, "product_id": product}
        for coupon in range(1, 30)
        for product in range(1, 41)
        if (coupon * product) % 7 == 1
    ]
    offers = [
        {
            "event_date": date(2026, 10 + day // 30, 1 + day % 30), "department": department,
            "entries": number, "focuses": 3 + place, "offers": place,
            "offers_used": None if day % 7 == 0 else place // 2,
        }
        for day in range(45)
        for place, department in enumerate(departments)
    ]  # fmt: skip
    return {
        "product_info": products, "coupon_info": coupons, "customer_info": customers,
        "coupon_product": links, "coupon_offers": offers,
    }  # fmt: skip


def loyalty_release(number: int) -> dict[str, list[Row]]:
    """A fan club; the codes sent tell the release."""
    emails = [
        "anna@example.org", "o'brien@example.org", "a/b@example.org", "ünï+code@example.org",
        "bob@example.org", "%41@example.org", "zoe@example.org", "кот@example.org",
    ]  # fmt: skip
    promotions = ["Summer", "Back/to school", "Don't; drop table members --", "Çà 100 %"]
    conversions = []
    for place in range(1, 61):
        kind = ["click", "basket", "purchase"][place % 3]
        conversions.append({
            "conversion_id": place, "promotion": promotions[place % 4], "conversion_type": kind,
            "email": emails[place % 5], "channel": "Instagram" if kind == "click" else None,
            "items": None if kind == "click" else "6;14",
            "items_count": None if kind == "click" else 2,
            "total": Decimal("75.42") if kind == "purchase" else None,
            "converted_at": "2026-11-20T10:00:00.25Z" if place % 4 == 1 else None,
        })  # fmt: skip
    return {
        "members": [
            {"email": email, "fb_user": None, "insta_user": "insta", "gender": [None, "F"][at % 2],
             "joined_by": ["list", "purchase"][at % 3 // 2],
             "joined_at": "2022-05-01T10:30:00Z" if at % 3 == 2 else None}
            for at, email in enumerate(emails)
        ],
        "conversions": conversions,
        "promotion_funnel": [
            {"promotion": promotion, "channel": channel, "clicks": clicks, "baskets": 3,
             "purchases": 2, "revenue": Decimal("18.64"),
             "basket_rate": 3 / clicks if clicks else None, "purchase_rate": None,
             "extra_codes_sent": number}
            for promotion in promotions
            for channel, clicks in [("Instagram", 7), ("Facebook", 3), ("no click", 0)]
        ],
        "loyalty_cleaning_report": [
            {"dataset": dataset, "outcome": outcome, "lines": lines}
            for dataset in ("loyalty_list", "conversions")
            for lines, outcome in enumerate(["kept", "no email", "exact duplicate"])
        ],
    }  # fmt: skip


def release_rows(domain: str, number: int) -> dict[str, list[Row]]:
    """The rows of a release by table; some column of every domain tells the number."""
    made = {
        "household": household_release,
        "customer": customer_release,
        "store": store_release,
        "loyalty": loyalty_release,
    }
    return {table: dated(rows) for table, rows in made[domain](number).items()}


def make_schema_of_releases(connection: psycopg.Connection) -> None:
    connection.execute(f"""
        create schema release;
        create table release.current (
            domain text primary key, number integer not null, switched_at timestamptz not null
        );
        create table release.releases (
            domain text, number integer, released_at timestamptz, engine text,
            dbt_invocation text, git_commit text, rows bigint, seconds double precision,
            primary key (domain, number)
        );
        create table release.contracts (
            domain text, number integer, mart text, contract jsonb,
            primary key (domain, number, mart)
        );
        create table release.quality (
            domain text, number integer, quality jsonb, primary key (domain, number)
        );
        grant usage on schema release to {READER_ROLE};
        grant select on all tables in schema release to {READER_ROLE};
    """)


def write_release(connection: psycopg.Connection, number: int, domain: str = "household") -> None:
    """Writes the tables of a release; nobody sees it yet."""
    schema = f"{domain}__r{number}"
    connection.execute(f"create schema {schema}")
    rows = release_rows(domain, number)
    for name, model in contracts(domain).items():
        columns = ", ".join(f'"{one["name"]}" {one["data_type"]}' for one in model["columns"])
        keys = ", ".join(primary_key(model))
        connection.execute(f"create table {schema}.{name} ({columns}, primary key ({keys}))")
        # The views of vouchers stay empty: nothing is answered from them.
        if found := rows.get(name, []):
            names = ", ".join(f'"{column}"' for column in found[0])
            places = ", ".join(["%s"] * len(found[0]))
            connection.cursor().executemany(
                f"insert into {schema}.{name} ({names}) values ({places})",
                [list(row.values()) for row in found],
            )
        for index in model["config"]["meta"]["serving"]["indexes"]:
            connection.execute(f"create index on {schema}.{name} ({', '.join(index)})")
        connection.execute(
            "insert into release.contracts values (%s, %s, %s, %s::jsonb)",
            [domain, number, name, contract_json(contract_of(domain, name))],
        )
    connection.execute(
        "insert into release.releases (domain, number, released_at) values (%s, %s, now())",
        [domain, number],
    )
    connection.execute(f"grant usage on schema {schema} to {READER_ROLE}")
    connection.execute(f"grant select on all tables in schema {schema} to {READER_ROLE}")


def switch(
    connection: psycopg.Connection,
    number: int,
    domain: str = "household",
    *,
    drop: int | None = None,
) -> None:
    """Makes a release the current one, and drops another in the same transaction."""
    with connection.transaction():
        if drop is not None:
            connection.execute(f"drop schema {domain}__r{drop} cascade")
        connection.execute(
            "insert into release.current values (%s, %s, now()) "
            "on conflict (domain) do update set number = excluded.number, switched_at = now()",
            [domain, number],
        )
        connection.execute("select pg_notify('release', %s)", [f"{domain}:{number}"])


def release_all(connection: psycopg.Connection, number: int) -> None:
    """Writes and switches to a release of every domain."""
    make_schema_of_releases(connection)
    for domain in DOMAINS:
        write_release(connection, number, domain)
        switch(connection, number, domain)


def drop_releases(connection: psycopg.Connection) -> None:
    connection.execute("drop schema if exists release cascade")
    found = connection.execute("select nspname from pg_namespace where nspname ~ '__r[0-9]+$'")
    for (schema,) in found.fetchall():
        connection.execute(f"drop schema {schema} cascade")


@contextmanager
def embedded_store() -> Iterator[tuple[Settings, ServingStore]]:
    """A store of its own with the reader's role and nothing else, gone afterwards."""
    folder = tempfile.mkdtemp(prefix="px", dir="/tmp")
    settings = Settings(data_dir=Path(folder), database_url=None, api_keys="", api_port=free_port())
    store = open_serving_store(settings)
    assert store.embedded is not None
    try:
        with store.connect(autocommit=True) as connection:
            connection.execute(f"create role {READER_ROLE} login")
        yield settings, store
    finally:
        store.embedded.stop()
        store.embedded.leave()
        shutil.rmtree(store.embedded.home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def any_store() -> Iterator[tuple[Settings, ServingStore]]:
    """A store of its own: on the server that the tests are told to use, else an embedded one."""
    server = os.environ.get(VARIABLE)
    if server is None:
        with embedded_store() as found:
            yield found
        return
    with new_database(server) as url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=folder, database_url=url, api_keys="", api_port=free_port())
        store = open_serving_store(settings)
        with store.connect() as connection:
            make_reader(connection, store)
        yield settings, store


@contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of an app that uvicorn serves from a thread, as the real server does."""
    server = uvicorn.Server(configure(app))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive(), seconds=120)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=120) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(timeout=120)


SERVE = """
import sys
from pollux.runtime.settings import Settings
from services.api.server import run
run(Settings.model_validate_json(sys.argv[1]))
"""


@contextmanager
def running_server(settings: Settings) -> Iterator[httpx.Client]:
    """The real server in a process of its own, and a client of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, settings.model_dump_json(exclude={"database_url"})],
        cwd=PROJECT_DIR,
        env={name: value for name, value in os.environ.items() if not name.startswith("POLLUX_")},
    )
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        with httpx.Client(base_url=url, timeout=120) as client:
            wait_until(lambda: process.poll() is not None or _is_up(client), seconds=120)
            assert process.poll() is None
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/healthz").status_code == 200
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def within_a_second(since: float, is_so: Callable[[], bool]) -> None:
    """Asks until it is so; of what is asked for a second later, it must be so.

    However long a busy machine takes to answer.
    """
    asked_at = since
    while not is_so():
        assert asked_at - since < PROMISED_SECONDS, "a second later it is not so"
        time.sleep(0.02)
        asked_at = time.monotonic()


def read_all(client: httpx.Client, path: str, params: dict[str, Any], limit: int) -> list[Any]:
    """The documents of a list, asked for in pages; all but the last are full."""
    rows: list[Any] = []
    following = None
    while True:
        asked = params | {"limit": limit} | ({"next": following} if following else {})
        answer = client.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert len(found["data"]) <= limit
        rows += found["data"]
        following = found["next"]
        if following is None:
            return rows
        assert len(found["data"]) == limit


def problem(answer: httpx.Response, status: int, kind: str) -> Row:
    """The problem document of an answer, which must be one of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:pollux:problem:{kind}"
    assert document["status"] == status
    assert {"title", "detail", "instance"} <= set(document)
    return document
