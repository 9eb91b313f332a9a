"""How columns and values are said to a viewer.

Belongs here: names of columns in words, dates, money, shares. Does not belong here: what a column
means (the marts' contracts say it, and tables show that as help).
"""

from datetime import UTC, date, datetime
from typing import Literal, NamedTuple

from pollux.calendar import date_of, first_day_of

Kind = Literal["text", "number", "decimal", "money", "share", "date", "moment", "flag"]


class Column(NamedTuple):
    """What a column is called, and what kind of values it has."""

    label: str
    kind: Kind = "text"


COLUMNS = {
    "at": Column("When", "moment"),
    "associated_commodity": Column("Bought with it"),
    "baskets": Column("Baskets", "number"),
    "baskets_per_day": Column("Baskets a day", "decimal"),
    "brand": Column("Brand"),
    "campaign": Column("Campaign", "number"),
    "campaign_type": Column("Type"),
    "commodity": Column("Commodity"),
    "confidence": Column("Of baskets with the first", "share"),
    "coupons_redeemed": Column("Coupons redeemed", "number"),
    "days_since_visit": Column("Days since last visit", "number"),
    "days_to_redeem": Column("Days to first redemption", "number"),
    "department": Column("Department"),
    "domain": Column("Data"),
    "end_date": Column("Last day", "date"),
    "entries": Column("Entries", "number"),
    "event_date": Column("Day", "date"),
    "f_score": Column("Frequency", "number"),
    "first_date": Column("First visit", "date"),
    "first_redemption_date": Column("First redemption", "date"),
    "focuses": Column("Stops", "number"),
    "from_segment": Column("From"),
    "has_demographics": Column("Demographics known", "flag"),
    "has_redeemed": Column("Redeemed", "flag"),
    "household_key": Column("Household", "number"),
    "households": Column("Households", "number"),
    "is_targeted": Column("Was sent it", "flag"),
    "kind": Column("Kind"),
    "last_date": Column("Last visit", "date"),
    "lift": Column("Times as often as by chance", "decimal"),
    "m_score": Column("Sales score", "number"),
    "meaning": Column("What they have in common"),
    "offers": Column("Offers", "number"),
    "offers_used": Column("Offers used", "number"),
    "period_end_date": Column("Four weeks to", "date"),
    "product": Column("Product"),
    "r_score": Column("Recency", "number"),
    "rank": Column("Place", "number"),
    "text": Column("What"),
    "reason": Column("Why"),
    "redemptions": Column("Redemptions", "number"),
    "rfm_score": Column("Sum of scores", "number"),
    "sales_share": Column("Share of sales", "share"),
    "section": Column("Section"),
    "segment": Column("Segment"),
    "share": Column("Share of households", "share"),
    "since_date": Column("Since", "date"),
    "size": Column("Size"),
    "start_date": Column("First day", "date"),
    "to_segment": Column("To"),
    "total_sales": Column("Sales", "money"),
    "week": Column("Week from", "date"),
    "why": Column("Why"),
}
DOMAINS = {
    "customer": "Accounts and vouchers",
    "household": "Households",
    "loyalty": "Fan club",
    "store": "Shop",
}
SECTIONS = {
    "alcohol": "Alcohol",
    "beverages": "Beverages",
    "concessions": "Concessions",
    "dairy": "Dairy",
    "drug": "Drugstore",
    "garden": "Garden",
    "grain_goods": "Bread and grain",
    "grocery": "Grocery",
    "home_family": "Home and family",
    "junk_food": "Snacks and sweets",
    "kitchen": "Kitchen",
    "meat": "Meat",
    "misc": "Other",
    "produce": "Fruit and vegetables",
    "seasonal": "Seasonal",
}
# Of d3, which charts write axes and tooltips by.
FORMATS: dict[Kind, str] = {
    "number": ",d",
    "decimal": ",.2f",
    "money": "$,.2f",
    "share": ".1%",
    "date": "%-d %b %Y",
}
MINUTE, HOUR, DAY = 60, 3600, 86400


def label(column: str) -> str:
    """What a column is called; raises `KeyError` for one that has no words yet."""
    return COLUMNS[column].label


def money(value: float) -> str:
    """Dollars and cents."""
    return f"${value:,.2f}"


def whole_money(value: float) -> str:
    """Dollars, where cents would only be in the way."""
    return f"${value:,.0f}"


def share(value: float) -> str:
    """A share of one as a percentage."""
    return f"{value:.1%}"


def number(value: float) -> str:
    """A count."""
    return f"{value:,.0f}"


def day(value: str | date) -> str:
    """A date, such as 26 Feb 2006."""
    when = date.fromisoformat(value) if isinstance(value, str) else value
    return f"{when.day} {when:%b %Y}"


def date_of_week(week: int) -> date:
    """The first day of a week of the household data."""
    return date_of(first_day_of(week))


def age(moment: str, now: datetime | None = None) -> str:
    """How long ago a UTC time is, in its largest unit."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    if seconds < MINUTE:
        return "just now"
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def sentence(text: str) -> str:
    """A text of the data as a sentence: a capital first, a full stop last."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def in_words(text: str) -> str:
    """A text that the data spell in capitals, such as FRZN MEAT, with one capital."""
    return text.capitalize() if text.isupper() else text
