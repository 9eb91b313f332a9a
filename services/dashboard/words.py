"""How columns and values are said to a viewer.

Belongs here: names of columns in words, dates, money, shares. Does not belong here: what a column
means (the marts' contracts say it, and tables show that as help).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple

from pollux.calendar import date_of, first_day_of

Kind = Literal["text", "number", "decimal", "money", "share", "date", "moment", "flag"]


class Column(NamedTuple):
    """What a column is called, and what kind of values it has."""

    label: str
    kind: Kind = "text"
    # Pixels in a table, for texts that are longer than a table gives room by itself.
    width: int | None = None


COLUMNS = {
    "added": Column("Adds to the log-odds", "decimal"),
    "age": Column("Age", "number"),
    "amount": Column("Amount"),
    "associated_commodity": Column("Bought with it"),
    "at": Column("When", "moment"),
    "basket_rate": Column("Baskets of clicks", "share"),
    "baskets": Column("Baskets", "number"),
    "baskets_per_day": Column("Baskets a day", "decimal"),
    "brand": Column("Brand"),
    "campaign": Column("Campaign", "number"),
    "built_at": Column("Built (UTC)", "moment"),
    "campaign_type": Column("Type"),
    "cause": Column("By"),
    "channel": Column("Channel"),
    "clicks": Column("Clicks", "number"),
    "column": Column("Column"),
    "commodity": Column("Commodity"),
    "confidence": Column("Of baskets with the first", "share"),
    "conversion_type": Column("What"),
    "converted_at": Column("When (UTC)", "moment"),
    "count": Column("How many", "number"),
    "coupon": Column("Coupon"),
    "coupons_redeemed": Column("Coupons redeemed", "number"),
    "customer_id": Column("Customer", "number"),
    "dataset": Column("Dataset"),
    "date": Column("Day", "date"),
    "days": Column("Days"),
    "days_since_visit": Column("Days since last visit", "number"),
    "days_to_redeem": Column("Days to first redemption", "number"),
    "department": Column("Department"),
    "description": Column("What is in it"),
    "domain": Column("Data"),
    "end_date": Column("Last day", "date"),
    "entries": Column("Entries", "number"),
    "event_date": Column("Day", "date"),
    "event_key": Column("Event"),
    "extra_codes_sent": Column("Extra codes sent", "number"),
    "f_score": Column("Frequency", "number"),
    "factor": Column("What counts"),
    "failed": Column("Failed", "number"),
    "first_date": Column("First visit", "date"),
    "first_redemption_date": Column("First redemption", "date"),
    "focuses": Column("Stops", "number"),
    "from_segment": Column("From"),
    "has_demographics": Column("Demographics known", "flag"),
    "has_redeemed": Column("Redeemed", "flag"),
    "household_key": Column("Household", "number"),
    "households": Column("Households", "number"),
    "households_redeeming": Column("Households that redeemed", "number"),
    "households_targeted": Column("Households sent it", "number"),
    "is_targeted": Column("Was sent it", "flag"),
    "is_sample": Column("Made-up data", "flag"),
    "items_count": Column("Items", "number"),
    "kind": Column("Kind"),
    "last_date": Column("Last visit", "date"),
    "leverage": Column("Baskets beyond chance", "share"),
    "lift": Column("Times as often as by chance", "decimal"),
    "likelihood": Column("Likelihood of use", "share"),
    "lines": Column("Lines", "number"),
    "loaded_at": Column("Loaded (UTC)", "moment"),
    "m_score": Column("Sales score", "number"),
    "mean_discount_received": Column("Mean discount, percent", "decimal"),
    "mart": Column("Name for SQL and the API"),
    "mean_sales": Column("Sales per household", "money"),
    "mean_sales_after": Column("Mean sales after", "money"),
    "mean_sales_before": Column("Mean sales before", "money"),
    "mean_sales_during": Column("Mean sales during", "money"),
    "meaning": Column("What they have in common"),
    "minute": Column("Minute", "moment"),
    "model": Column("Table"),
    "number": Column("Release", "number"),
    "offer": Column("Offered"),
    "offers": Column("Offers", "number"),
    "offers_used": Column("Offers used", "number"),
    "outcome": Column("What became of it"),
    "passed": Column("Passed", "number"),
    "period_end_date": Column("Four weeks to", "date"),
    "product": Column("Product"),
    "promotion": Column("Promotion"),
    "purchase_rate": Column("Purchases of clicks", "share"),
    "purchases": Column("Purchases", "number"),
    "quantity": Column("Units", "number"),
    "r_score": Column("Recency", "number"),
    "rank": Column("Place", "number"),
    "reason": Column("Why"),
    "redemption_rate": Column("Share that redeemed", "share"),
    "redemptions": Column("Redemptions", "number"),
    "released_ago": Column("Age"),
    "released_at": Column("Released (UTC)", "moment"),
    "revenue": Column("Revenue", "money"),
    "rfm_score": Column("Sum of scores", "number"),
    "rows": Column("Rows", "number"),
    "rows_landed": Column("Rows that landed", "number"),
    "rows_read": Column("Rows in the files", "number"),
    "rows_rejected": Column("Rows rejected", "number"),
    "rule": Column("Rule", width=640),
    "sales_share": Column("Share of sales", "share"),
    "section": Column("Section"),
    "segment": Column("Segment"),
    "segment_kind": Column("By"),
    "service": Column("Service"),
    "share": Column("Share of households", "share"),
    "share_of_assignments": Column("Share of assignments", "share"),
    "share_of_vouchers": Column("Share of vouchers", "share"),
    "since_date": Column("Since", "date"),
    "size": Column("Size"),
    "stage": Column("Stage"),
    "status": Column("Result"),
    "start_date": Column("First day", "date"),
    "state": Column("State"),
    "text": Column("What"),
    "times_used": Column("Times used", "number"),
    "to_segment": Column("To"),
    "total": Column("Total", "money"),
    "total_coupons_used": Column("Items bought with coupons", "number"),
    "total_items_bought": Column("Items bought", "number"),
    "total_sales": Column("Sales", "money"),
    "value": Column("Sales", "money"),
    "warned": Column("Warned", "number"),
    "week": Column("Week from", "date"),
    "when": Column("When"),
    "why": Column("Why", width=640),
    "words": Column("In words"),
}
DOMAINS = {
    "customer": "Accounts and vouchers",
    "household": "Households",
    "loyalty": "Fan club",
    "store": "Shop",
}
# Where the name of a dataset alone does not say what it holds.
DATASETS = {
    "campaign_desc": "Campaigns",
    "campaign_table": "Campaign recipients",
    "causal_data": "Displays and mailers",
    "coupon": "Products of coupons",
    "coupon_info": "Coupons, ready-made",
    "coupon_redempt": "Coupons redeemed",
    "customer_info": "Customers, ready-made",
    "hh_demographic": "Demographics of households",
    "product": "Products",
    "transaction_data": "Transactions",
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
    "moment": "%H:%M",
}
MINUTE, HOUR, DAY = 60, 3600, 86400


def label(column: str) -> str:
    """What a column is called; raises `KeyError` for one that has no words yet."""
    return COLUMNS[column].label


def column(name: str) -> str:
    """A column of the data, which may have no words here: its name without underscores."""
    return COLUMNS[name].label if name in COLUMNS else _without_underscores(name)


def dataset(name: str) -> str:
    """What a dataset holds."""
    return DATASETS.get(name) or _without_underscores(name)


def _without_underscores(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


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
    return "just now" if seconds < MINUTE else f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """How long something takes, in its largest unit, such as 3 minutes."""
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(seconds)} s"


def sentence(text: str) -> str:
    """A text of the data as a sentence: a capital first, a full stop last."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def coupon(row: Mapping[str, Any]) -> str:
    """What a coupon gives for what, such as 34 % off 4 of a product."""
    off, count = f"{row['discount']} % off", row["how_many_products_required"]
    match row["coupon_type"]:
        case "buy_more":
            return f"{off} {count} of a product"
        case "buy_all":
            return f"{off} {count} products together"
        case "department":
            return f"{off} everything in {row['department']}"
        case _:
            return f"{off} a product"


def segment(name: str) -> str:
    """A segment of households; the data say none for those that are in no segment yet."""
    return "In no segment yet" if name == "none" else name


def campaign_type(name: str | None) -> str:
    """A type of campaigns, such as TypeA, as words."""
    return "Of no known type" if name is None else f"Type {name.removeprefix('Type')}"


def in_words(text: str) -> str:
    """A text that the data spell in capitals, such as FRZN MEAT, with one capital."""
    return text.capitalize() if text.isupper() else text
