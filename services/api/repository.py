"""What the API asks the serving store, in SQL.

Belongs here: the queries on the tables of a release, and the problems of what is not in them.
Does not belong here: HTTP. PostgreSQL writes the JSON; nothing parses it on the way.

In a query, `{release}` is the schema of the release and `{columns}` are the fields of the
document it answers with.
"""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from functools import cache, lru_cache
from http import HTTPStatus

import asyncpg
from pydantic import BaseModel

from services.api.schemas import (
    INTEGER_MAX,
    CampaignSummary,
    DailyCampaignSales,
    DailySpend,
    DaysQuery,
    Household,
    HouseholdsQuery,
    HouseholdSummary,
    PageQuery,
    WeeklySales,
    WeeksQuery,
)
from services.common.database import Database
from services.common.paging import Position, page, read_next, write_next
from services.common.problems import ProblemError
from services.common.releases import Release

DOMAIN = "household"

# A document of one key is looked up together with those that others ask for at the moment.
HOUSEHOLD = """
select found.household_key, row_to_json(found)::text
from (
    select {columns} from {release}.household_rfm where household_key = any($1::bigint[])
) as found
"""

SUMMARY = """
select found.household_key, row_to_json(found)::text
from (
    select {columns} from {release}.hh_summary where household_key = any($1::bigint[])
) as found
"""

HOUSEHOLD_EXISTS = "select from {release}.household_rfm where household_key = $1"

# The key columns come as text beside each document: `next` is made of the last row's.
HOUSEHOLDS = """
select row_to_json(page)::text, page.{sort}::text, page.household_key::text
from (
    select {columns}
    from {release}.household_rfm
    where {conditions}
    order by {order}
    limit $1
) as page
order by {page_order}
"""

HOUSEHOLD_CONDITIONS = {
    "rfm_bins": "rfm_bins = {}::integer",
    "r_score": "r_score = {}::integer",
    "f_score": "f_score = {}::integer",
    "m_score": "m_score = {}::integer",
    "has_demographics": "has_demographics = {}::boolean",
    "min_total_sales": "total_sales >= {}::numeric",
    "max_total_sales": "total_sales <= {}::numeric",
}

DAILY_SPEND = """
select row_to_json(page)::text, page.day::text
from (
    select {columns}
    from {release}.daily_hh_spend
    where household_key = $1 and day between $2::bigint and $3::bigint
    order by day
    limit $4
) as page
order by page.day
"""

WEEKLY_SALES = """
select row_to_json(page)::text, page.week_no::text
from (
    select {columns}
    from {release}.household_weekly_sales
    where household_key = $1 and week_no between $2::bigint and $3::bigint
    order by week_no
    limit $4
) as page
order by page.week_no
"""

CAMPAIGNS = """
select row_to_json(page)::text, page.campaign::text
from (
    select {columns}
    from {release}.campaign_summary
    where $1::bigint is null or campaign > $1
    order by campaign
    limit $2
) as page
order by page.campaign
"""

CAMPAIGN = """
select found.campaign, row_to_json(found)::text
from (
    select {columns} from {release}.campaign_summary where campaign = any($1::bigint[])
) as found
"""

CAMPAIGN_EXISTS = "select from {release}.campaign_summary where campaign = $1"

DAILY_CAMPAIGN_SALES = """
select row_to_json(page)::text, page.day::text
from (
    select {columns}
    from {release}.daily_campaign_sales
    where campaign = $1 and day between $2::bigint and $3::bigint
    order by day
    limit $4
) as page
order by page.day
"""

# Which document is made of which table; the contract test holds both against the models.
TABLES: dict[type[BaseModel], str] = {
    Household: "household_rfm",
    HouseholdSummary: "hh_summary",
    DailySpend: "daily_hh_spend",
    WeeklySales: "household_weekly_sales",
    CampaignSummary: "campaign_summary",
    DailyCampaignSales: "daily_campaign_sales",
}


def unknown_household(household_key: int) -> ProblemError:
    """The household is not in the release."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-household",
        "Unknown household",
        f"No household {household_key} is in scope.",
    )


def no_demographics(household_key: int) -> ProblemError:
    """The household is there, but nobody knows who lives in it."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "no-demographics",
        "No demographics",
        f"Household {household_key} has no summary: its demographics are not known. Its scores and "
        f"totals are at /v1/households/{household_key}.",
    )


def unknown_campaign(campaign: int) -> ProblemError:
    """The campaign is not in the release."""
    return ProblemError(
        HTTPStatus.NOT_FOUND, "unknown-campaign", "Unknown campaign", f"No campaign {campaign}."
    )


async def household(database: Database, release: Release, household_key: int) -> bytes:
    """A household's `Household` document."""
    found = await database.find(_sql(HOUSEHOLD, release.schema, Household), household_key)
    if found is None:
        raise unknown_household(household_key)
    return found.encode()


async def summary(database: Database, release: Release, household_key: int) -> bytes:
    """A household's `HouseholdSummary` document."""
    found = await database.find(_sql(SUMMARY, release.schema, HouseholdSummary), household_key)
    if found is None:
        await _demand_household(database, release, household_key)
        raise no_demographics(household_key)
    return found.encode()


async def households(database: Database, release: Release, query: HouseholdsQuery) -> bytes:
    """A page of `Household` documents."""
    filters = query.model_dump(include=set(HOUSEHOLD_CONDITIONS), exclude_none=True)
    binding = f"households {query.sort} {sorted(filters.items())}"
    sort = query.sort.removeprefix("-")
    descending = query.sort.startswith("-")
    kinds = [Decimal if sort == "total_sales" else int, int]
    keys = [sort] if sort == "household_key" else [sort, "household_key"]
    conditions, arguments = ["true"], [query.limit + 1, *filters.values()]
    for place, name in enumerate(filters, start=2):
        conditions.append(HOUSEHOLD_CONDITIONS[name].format(f"${place}"))
    if query.next is not None:
        position = read_next(binding, query.next, kinds[-len(keys) :])
        places = _places(position, first=len(arguments) + 1)
        conditions.append(f"({', '.join(keys)}) {'<' if descending else '>'} ({places})")
        arguments += position
    direction = "desc" if descending else "asc"
    text = _sql(HOUSEHOLDS, release.schema, Household).format(
        sort=sort,
        conditions=" and ".join(conditions),
        order=", ".join(f"{key} {direction}" for key in keys),
        page_order=", ".join(f"page.{key} {direction}" for key in keys),
    )
    return _page(await database.fetch(text, *arguments), query, binding, len(keys))


async def daily_spend(
    database: Database, release: Release, household_key: int, query: DaysQuery
) -> bytes:
    """A page of a household's `DailySpend` documents."""
    binding = f"daily-spend {household_key} {query.from_day} {query.to_day}"
    first = _start(query, binding, query.from_day)
    text = _sql(DAILY_SPEND, release.schema, DailySpend)
    rows = await database.fetch(text, household_key, first, query.to_day, query.limit + 1)
    if not rows:
        await _demand_household(database, release, household_key)
    return _page(rows, query, binding)


async def weekly_sales(
    database: Database, release: Release, household_key: int, query: WeeksQuery
) -> bytes:
    """A page of a household's `WeeklySales` documents."""
    binding = f"weekly-sales {household_key} {query.from_week} {query.to_week}"
    first = _start(query, binding, query.from_week)
    text = _sql(WEEKLY_SALES, release.schema, WeeklySales)
    rows = await database.fetch(text, household_key, first, query.to_week, query.limit + 1)
    if not rows:
        await _demand_household(database, release, household_key)
    return _page(rows, query, binding)


async def campaigns(database: Database, release: Release, query: PageQuery) -> bytes:
    """A page of `CampaignSummary` documents."""
    binding = "campaigns"
    after = read_next(binding, query.next, [int])[0] if query.next is not None else None
    text = _sql(CAMPAIGNS, release.schema, CampaignSummary)
    return _page(await database.fetch(text, after, query.limit + 1), query, binding)


async def campaign(database: Database, release: Release, number: int) -> bytes:
    """A campaign's `CampaignSummary` document."""
    found = await database.find(_sql(CAMPAIGN, release.schema, CampaignSummary), number)
    if found is None:
        raise unknown_campaign(number)
    return found.encode()


async def daily_campaign_sales(
    database: Database, release: Release, number: int, query: DaysQuery
) -> bytes:
    """A page of a campaign's `DailyCampaignSales` documents."""
    binding = f"daily-campaign-sales {number} {query.from_day} {query.to_day}"
    first = _start(query, binding, query.from_day)
    text = _sql(DAILY_CAMPAIGN_SALES, release.schema, DailyCampaignSales)
    rows = await database.fetch(text, number, first, query.to_day, query.limit + 1)
    if not rows and not await database.fetch(_sql(CAMPAIGN_EXISTS, release.schema), number):
        raise unknown_campaign(number)
    return _page(rows, query, binding)


async def _demand_household(database: Database, release: Release, household_key: int) -> None:
    if not await database.fetch(_sql(HOUSEHOLD_EXISTS, release.schema), household_key):
        raise unknown_household(household_key)


@cache
def _columns(document: type[BaseModel]) -> str:
    return ", ".join(f'"{name}"' for name in document.model_fields)


@lru_cache(maxsize=256)
def _sql(template: str, schema: str, document: type[BaseModel] | None = None) -> str:
    text = template.replace("{release}", schema)
    return text if document is None else text.replace("{columns}", _columns(document))


def _page(rows: Sequence[asyncpg.Record], query: PageQuery, binding: str, keys: int = 1) -> bytes:
    """Of `limit` + 1 rows, the last one only tells that there is more."""
    shown = rows[: query.limit]
    following = write_next(binding, shown[-1][-keys:]) if len(rows) > len(shown) else None
    return page([row[0] for row in shown], following)


def _start(query: PageQuery, binding: str, first: int) -> int:
    if query.next is None:
        return first
    last = int(read_next(binding, query.next, [int])[0])
    return max(first, min(last, INTEGER_MAX) + 1)


def _places(position: Position, *, first: int) -> str:
    kinds = ["numeric" if isinstance(key, Decimal) else "bigint" for key in position]
    return ", ".join(f"${place}::{kind}" for place, kind in enumerate(kinds, start=first))


def edition() -> str:
    """Changes whenever a query or a document does, so that tags of older answers don't match."""
    queries = [text for name, text in globals().items() if name.isupper() and isinstance(text, str)]
    parts = [*queries, *(_columns(document) for document in TABLES)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
