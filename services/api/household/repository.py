"""What the API reads from a release of the household domain.

Belongs here: its tables, the conditions of its lists, and the problems of unknown keys. Does not
belong here: HTTP, and how a list becomes SQL.
"""

import json
from collections.abc import Sequence

from pollux.names import no_such_name
from services.api.listing import Listing
from services.api.queries import Lookup, Mart
from services.common.database import Database
from services.common.problems import ProblemError, not_found
from services.common.releases import Release

DOMAIN = "household"


def unknown_household(household_key: int) -> ProblemError:
    """The household is not in the release."""
    return not_found("unknown-household", f"No household {household_key} is in scope.")


def no_demographics(household_key: int) -> ProblemError:
    """The household is in the release, but its demographics are not known."""
    return not_found(
        "no-demographics",
        f"Household {household_key} has no summary: its demographics are not known. Its scores and "
        f"totals are at /v1/households/{household_key}.",
    )


def no_summary_yet(household_key: int) -> ProblemError:
    """The household has shopped since the release, and no release has its summary yet."""
    return not_found(
        "no-summary-yet",
        f"Household {household_key} has no summary yet: it shopped for the first time since the "
        "release, and the next one will have it. Its scores and totals are at "
        f"/v1/households/{household_key}.",
    )


def lacking_summary(household_key: int, household: str) -> ProblemError:
    """Why a household that is answered live, by this document, has no summary."""
    has_demographics = json.loads(household)["has_demographics"]
    return (no_summary_yet if has_demographics else no_demographics)(household_key)


def unknown_campaign(campaign: int) -> ProblemError:
    """The campaign is not in the release."""
    return not_found("unknown-campaign", f"No campaign {campaign}.")


def no_recommendations(household_key: int) -> ProblemError:
    """The household never bought any merchandise."""
    return not_found("unknown-household", f"No purchase of household {household_key} is known.")


def no_associations(commodity: str) -> ProblemError:
    """The commodity is unknown, or too few baskets hold it together with another."""
    return not_found(
        "no-associations",
        f"No commodity {commodity} is bought often enough with another.",
    )


def unknown_product(product_id: int) -> ProblemError:
    """The product file does not have the product."""
    return not_found("unknown-product", f"No product {product_id} in the households' shop.")


def unknown_commodity(commodity: str) -> ProblemError:
    """The product file names no such commodity."""
    return not_found("unknown-commodity", f"No commodity {commodity}.")


def unknown_segment(segment: str, known: Sequence[str] = ()) -> ProblemError:
    """No segment has this name; the others are named."""
    return not_found("unknown-segment", no_such_name("segment", segment, known))


RFM = Mart(DOMAIN, "household_rfm")
SEGMENT_ROWS = Mart(DOMAIN, "household_segments")
HISTORY = Mart(DOMAIN, "household_segment_history")
SIZES = Mart(DOMAIN, "segment_sizes")
MOVES = Mart(DOMAIN, "segment_moves")
SUMMARIES = Mart(DOMAIN, "hh_summary")
SPEND = Mart(DOMAIN, "daily_hh_spend")
WEEKS = Mart(DOMAIN, "household_weekly_sales")
CAMPAIGN_SUMMARIES = Mart(DOMAIN, "campaign_summary")
RESPONSES = Mart(DOMAIN, "campaign_response")
CAMPAIGN_SEGMENT_ROWS = Mart(DOMAIN, "campaign_segments")
CAMPAIGN_DAYS = Mart(DOMAIN, "daily_campaign_sales")

RECOMMENDATION_ROWS = Mart(DOMAIN, "product_recommendations")
ASSOCIATION_ROWS = Mart(DOMAIN, "commodity_associations")
PRODUCT_ROWS = Mart(DOMAIN, "products")
COMMODITY_ROWS = Mart(DOMAIN, "commodities")
EFFECTS = Mart(DOMAIN, "promotion_effect")

DAYS = {"from_day": "day >= {0}::bigint", "to_day": "day <= {0}::bigint"}

PERIODS = {
    "from_day": "period_end >= {0}::bigint",
    "to_day": "period_end <= {0}::bigint",
}

SEGMENT_BESIDE = """(
    select row_to_json(named)
    from (
        select segment as name, since_day, since_date, why
        from {release}.household_segments
        where household_segments.household_key = household_rfm.household_key
    ) as named
) as segment"""

HOUSEHOLD = Lookup(mart=RFM, key="household_key", unknown=unknown_household, beside=SEGMENT_BESIDE)

SUMMARY = Lookup(mart=SUMMARIES, key="household_key", unknown=no_demographics)

HOUSEHOLDS = Listing(
    name="households",
    mart=RFM,
    key=["household_key"],
    equal=["rfm_bins", "r_score", "f_score", "m_score", "has_demographics"],
    filters={
        "min_total_sales": "total_sales >= {0}::numeric",
        "max_total_sales": "total_sales <= {0}::numeric",
    },
)

DAILY_SPEND = Listing(
    name="daily-spend",
    mart=SPEND,
    key=["day"],
    within="household_key = {0}::bigint",
    parent=HOUSEHOLD,
    filters=DAYS,
)

WEEKLY_SALES = Listing(
    name="weekly-sales",
    mart=WEEKS,
    key=["week_no"],
    within="household_key = {0}::bigint",
    parent=HOUSEHOLD,
    filters={"from_week": "week_no >= {0}::bigint", "to_week": "week_no <= {0}::bigint"},
)

HOUSEHOLD_SEGMENTS = Listing(
    name="household-segments",
    mart=HISTORY,
    key=["period_end"],
    within="household_key = {0}::bigint",
    parent=HOUSEHOLD,
    filters=PERIODS,
)

SEGMENTS: Listing[int] = Listing(
    name="segments", mart=SIZES, key=["position"], within="is_latest = {0}::boolean"
)

SEGMENT_HISTORY: Listing[str] = Listing(
    name="segment-history",
    mart=SIZES,
    key=["period_end", "position"],
    equal=["segment"],
    filters=PERIODS,
    names={"segment": (SIZES,)},
)

SEGMENT_MOVES: Listing[str] = Listing(
    name="segment-moves",
    mart=MOVES,
    key=["period_end", "from_segment", "to_segment"],
    equal=["from_segment", "to_segment"],
    filters=PERIODS,
    names={"from_segment": (MOVES,), "to_segment": (MOVES,)},
)

SEGMENT_HOUSEHOLDS = Listing(
    name="segment-households",
    mart=SEGMENT_ROWS,
    key=["household_key"],
    within="segment = {0}::text",
    parent=Lookup(
        mart=SIZES, key="segment", unknown=unknown_segment, unknown_among=unknown_segment
    ),
    equal=["r_score", "f_score", "m_score"],
)

CAMPAIGN_RESPONSES = Listing(
    name="household-campaigns",
    mart=RESPONSES,
    key=["campaign"],
    within="household_key = {0}::bigint",
    parent=HOUSEHOLD,
    equal=["has_redeemed"],
)

RECOMMENDATIONS = Listing(
    name="recommendations",
    mart=RECOMMENDATION_ROWS,
    key=["rank"],
    within="household_key = {0}::bigint",
    parent=Lookup(mart=RECOMMENDATION_ROWS, key="household_key", unknown=no_recommendations),
    filters={"only": "kind = any({0}::text[])", "exclude": "product_id <> all({0}::bigint[])"},
)

ASSOCIATIONS = Listing(
    name="associations",
    mart=ASSOCIATION_ROWS,
    key=["associated_commodity"],
    within="commodity = {0}::text",
    parent=Lookup(mart=ASSOCIATION_ROWS, key="commodity", unknown=no_associations),
)

PRODUCT = Lookup(mart=PRODUCT_ROWS, key="product_id", unknown=unknown_product)

# Every word of a search is in one of these.
DESCRIPTION = "concat_ws(' ', department, commodity, sub_commodity, brand, size)"

PRODUCTS: Listing[int] = Listing(
    name="household-products",
    mart=PRODUCT_ROWS,
    key=["product_id"],
    equal=["department", "commodity", "sub_commodity", "brand", "section", "manufacturer"],
    filters={"text": f"{DESCRIPTION} ilike all({{0}}::text[])"},
    names=dict.fromkeys(
        ("department", "commodity", "sub_commodity", "brand", "section"), (PRODUCT_ROWS,)
    ),
)

COMMODITY = Lookup(mart=COMMODITY_ROWS, key="commodity", unknown=unknown_commodity)

COMMODITIES: Listing[str] = Listing(
    name="commodities",
    mart=COMMODITY_ROWS,
    key=["commodity"],
    equal=["section"],
    names={"section": (COMMODITY_ROWS,)},
)

PROMOTION_EFFECTS: Listing[str] = Listing(
    name="promotion-effects",
    mart=EFFECTS,
    key=["commodity", "support"],
    equal=["commodity", "support"],
    names={"commodity": (EFFECTS, COMMODITY_ROWS)},
)

CAMPAIGN = Lookup(mart=CAMPAIGN_SUMMARIES, key="campaign", unknown=unknown_campaign)

CAMPAIGNS = Listing(name="campaigns", mart=CAMPAIGN_SUMMARIES, key=["campaign"])

DAILY_CAMPAIGN_SALES = Listing(
    name="daily-campaign-sales",
    mart=CAMPAIGN_DAYS,
    key=["day"],
    within="campaign = {0}::bigint",
    parent=CAMPAIGN,
    filters=DAYS,
)


CAMPAIGN_SEGMENTS = Listing(
    name="campaign-segments",
    mart=CAMPAIGN_SEGMENT_ROWS,
    key=["position"],
    within="campaign = {0}::bigint",
    parent=CAMPAIGN,
)


async def summary(database: Database, release: Release, household_key: int) -> bytes:
    """A household's summary; raises a problem if it, or its demographics, are unknown."""
    found = await SUMMARY.find(database, release, household_key)
    if found is None:
        await HOUSEHOLD.demand(database, release, household_key)
        raise no_demographics(household_key)
    return found


async def commodity(database: Database, release: Release, name: str) -> bytes:
    """A commodity, whatever the case of its name; raises the problem of an unknown one."""
    return await COMMODITY.read(database, release, await COMMODITY.demand(database, release, name))
