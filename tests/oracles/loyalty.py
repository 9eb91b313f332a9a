"""The loyalty marts as a plain Python and pandas port of the rules.

An oracle that shares nothing with the SQL.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

import pandas as pd

TYPES = {"clickconversion": "click", "basketconversion": "basket"}
TYPES |= {"purchaseconversion": "purchase"}
TOTAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
LONGEST = 255
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
OUTCOMES = {
    "loyalty_list": ["kept", "blank line", "no email", "field too long", "repeated member"],
    "conversions": ["kept", "blank line", "missing promotion", "unknown conversion type"]
    + ["no email", "missing channel", "field too long", "unreadable total"],
}


class Conversion(NamedTuple):
    """A conversion that counts; the field order is that of the mart."""

    promotion: str
    conversion_type: str
    email: str
    channel: str | None
    items: str | None
    items_count: int | None
    total: Decimal | None
    converted_at: datetime | None = None


Row = Mapping[str, Any]
Person = tuple[str, str]


def loyalty_marts(raw: Mapping[str, Sequence[Any]]) -> dict[str, pd.DataFrame]:
    """Computes all marts of the loyalty domain from the lines of its two datasets.

    What came in live are rows, in the order in which it came, of `live_loyalty_list` and
    `live_conversions`. Totals are decimal dollars. The order of lines does not matter.
    """
    report: Counter[tuple[str, str]] = Counter()
    live_list = raw.get("live_loyalty_list", ())
    listed = _listed(raw["loyalty_list"], live_list, report)
    live = list(_live_conversions(raw.get("live_conversions", ()), report))
    kept = [conversion for conversion, _ in live]
    conversions = _conversions(raw["conversions"], kept, report)
    joined = [
        (_email_of(row), _utc(row["received_at"]))
        for row in live_list
        if not _too_long(*(row[n] for n in ("email", "fb_user", "insta_user", "gender")))
    ]
    joined += [(c.email, _utc(row["received_at"])) for c, row in live if row["is_new_member"]]
    sent = {(c.promotion, c.email) for c, row in live if row["is_code_sent"]}
    numbered = [{"conversion_id": n, **c._asdict()} for n, c in enumerate(conversions, start=1)]
    columns = ["dataset", "outcome", "lines"]
    return {
        "members": _members(listed, conversions, joined),
        "conversions": pd.DataFrame(
            numbered, columns=["conversion_id", *Conversion._fields], dtype="object"
        ),
        "promotion_funnel": _funnel(listed, conversions, sent),
        "loyalty_cleaning_report": pd.DataFrame(
            [(name, o, report[name, o]) for name in OUTCOMES for o in OUTCOMES[name]],
            columns=columns,
        ),
    }


def _fields(line: str) -> list[str | None]:
    return [part.strip(" ") or None for part in line.split(",")]


def _at(fields: Sequence[str | None], n: int) -> str | None:
    return fields[n] if n < len(fields) else None


def _email(text: str | None) -> str | None:
    return text.translate(LOWER) if text and "@" in text else None


def _too_long(*fields: str | None) -> bool:
    return any(len(field or "") > LONGEST for field in fields)


def _email_of(row: Row) -> str | None:
    return _email(row["email"].strip(" "))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _listed(
    lines: Sequence[str], live: Sequence[Row], report: Counter[tuple[str, str]]
) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Facebook user, Instagram user and gender by email."""
    candidates = []
    for line in map(_trimmed, lines):
        fields = _fields(line)
        email = _email(fields[0])
        if email is None:
            report["loyalty_list", "no email" if line else "blank line"] += 1
            continue
        known = (_at(fields, 1), _at(fields, 2), fields[-1] if len(fields) >= 4 else None)
        if _too_long(email, *known):
            report["loyalty_list", "field too long"] += 1
            continue
        candidates.append(((known.count(None), 1, line.encode()), email, known))
    for number, row in enumerate(live):
        email = _email_of(row)
        if email is None:
            report["loyalty_list", "no email"] += 1
            continue
        known = tuple(
            (row[n] or "").strip(" ") or None for n in ("fb_user", "insta_user", "gender")
        )
        if _too_long(email, *known):
            report["loyalty_list", "field too long"] += 1
            continue
        # The last one first, and before any line.
        place = (known.count(None), 0, -row["received_at"].timestamp(), -number)
        candidates.append((place, email, known))
    listed: dict[str, tuple[str | None, str | None, str | None]] = {}
    for _, email, known in sorted(candidates, key=lambda candidate: candidate[0]):
        report["loyalty_list", "repeated member" if email in listed else "kept"] += 1
        listed.setdefault(email, known)
    return listed


def _trimmed(line: str) -> str:
    return line.strip(" ")


def _conversions(
    lines: Sequence[str], live: Sequence[Conversion], report: Counter[tuple[str, str]]
) -> list[Conversion]:
    kept = [*live]
    for line in map(_trimmed, lines):
        read = _conversion(line)
        report["conversions", read if isinstance(read, str) else "kept"] += 1
        if isinstance(read, Conversion):
            kept.append(read)
    return sorted(kept, key=_order)


def _live_conversions(
    rows: Sequence[Row], report: Counter[tuple[str, str]]
) -> Iterator[tuple[Conversion, Row]]:
    """Those that count, read as the line that a file would have."""
    for row in rows:
        kind = row["conversion_type"]
        detail = row["channel"] if kind == "click" else row["items"]
        fields = [row["promotion"], f"{kind}conversion", row["email"], detail, row["total"]]
        read = _conversion(", ".join("" if f is None else str(f) for f in fields))
        report["conversions", read if isinstance(read, str) else "kept"] += 1
        if isinstance(read, Conversion):
            yield read._replace(converted_at=_utc(row["received_at"])), row


def _order(conversion: Conversion) -> tuple[tuple[bool, bytes], ...]:
    texts = (
        conversion.promotion,
        conversion.conversion_type,
        conversion.email,
        conversion.channel,
        conversion.items,
        None if conversion.total is None else f"{conversion.total:020.2f}",
        conversion.converted_at and conversion.converted_at.isoformat(timespec="microseconds"),
    )
    return tuple((text is not None, (text or "").encode()) for text in texts)


def _conversion(line: str) -> Conversion | str:
    """The conversion, or the reason for which the line does not count."""
    fields = _fields(line)
    kind = TYPES.get((_at(fields, 1) or "").lower())
    promotion, email, detail, number = fields[0], *(_at(fields, n) for n in (2, 3, 4))
    email = _email(email)
    readable = number is not None and TOTAL.fullmatch(number) is not None
    checks = (
        (not line, "blank line"),
        (promotion is None, "missing promotion"),
        (kind is None, "unknown conversion type"),
        (email is None, "no email"),
        (kind == "click" and detail is None, "missing channel"),
        (_too_long(promotion, email, detail if kind == "click" else None), "field too long"),
        (kind == "purchase" and not readable, "unreadable total"),
    )
    if reasons := [reason for is_met, reason in checks if is_met]:
        return reasons[0]
    if kind == "click":
        return Conversion(promotion or "", kind, email or "", detail, None, None, None)
    items = re.sub(r"[\[\] ]", "", detail or "").strip(";") or None
    count = len(items.split(";")) if items else None
    total = Decimal(number or 0) if kind == "purchase" else None
    return Conversion(promotion or "", kind or "", email or "", None, items, count, total)


def _members(
    listed: Mapping[str, tuple[str | None, str | None, str | None]],
    conversions: Sequence[Conversion],
    joined: Sequence[tuple[str | None, datetime]],
) -> pd.DataFrame:
    first: dict[str | None, datetime] = {}
    for email, moment in joined:
        first[email] = min(moment, first.get(email, moment))
    buyers = {c.email for c in conversions if c.conversion_type == "purchase"} - set(listed)
    rows = [(email, *known, "list", first.get(email)) for email, known in listed.items()]
    rows += [(email, None, None, None, "purchase", first.get(email)) for email in buyers]
    columns = ["email", "fb_user", "insta_user", "gender", "joined_by", "joined_at"]
    return pd.DataFrame(rows, columns=columns, dtype="object")


def _funnel(
    listed: Mapping[str, object], conversions: Sequence[Conversion], sent: set[Person]
) -> pd.DataFrame:
    clicks: dict[Person, Counter[str]] = {}
    codes = set(sent)
    for conversion in conversions:
        if conversion.channel is not None:
            person = (conversion.promotion, conversion.email)
            if conversion.converted_at is None and conversion.email in listed:
                codes.add(person)
            clicks.setdefault(person, Counter())[conversion.channel] += 1
    channels = {
        person: min(counts, key=lambda channel: (-counts[channel], channel.encode()))
        for person, counts in clicks.items()
    }
    counted: Counter[tuple[str, str, str]] = Counter()
    revenue: dict[tuple[str, str], Decimal] = {}
    for conversion in conversions:
        person = (conversion.promotion, conversion.email)
        channel = conversion.channel or channels.get(person, "no click")
        key = (conversion.promotion, channel)
        counted[*key, conversion.conversion_type] += 1
        revenue[key] = revenue.get(key, Decimal(0)) + (conversion.total or 0)
    for person, channel in channels.items():
        revenue.setdefault((person[0], channel), Decimal(0))
        counted[person[0], channel, "code"] += person in codes
    rows = []
    for key, amount in revenue.items():
        n_clicks, baskets, purchases, codes = (
            counted[*key, kind] for kind in ("click", "basket", "purchase", "code")
        )
        rates = [n / n_clicks if n_clicks else None for n in (baskets, purchases)]
        rows.append((*key, n_clicks, baskets, purchases, amount, *rates, codes))
    columns = ["promotion", "channel", "clicks", "baskets", "purchases", "revenue"]
    columns += ["basket_rate", "purchase_rate", "extra_codes_sent"]
    return pd.DataFrame(rows, columns=columns, dtype="object")
