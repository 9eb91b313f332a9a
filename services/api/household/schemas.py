"""Documents about households and campaigns, and the parameters of their lists.

Belongs here: the documents (one field per column of a mart, in the mart's order). Does not belong
here: serialisation of answers, which PostgreSQL does; a test holds that both are the same.
"""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import ConfigDict, Field

from services.api.documents import (
    BIGINT_MAX,
    INTEGER_MAX,
    MAX_LIMIT,
    Amount,
    Document,
    Integer,
    Money,
    Page,
    PageQuery,
    Text,
    id_in_path,
)

HouseholdKey = Annotated[Integer, id_in_path("Household.", 1)]
Campaign = Annotated[Integer, id_in_path("Campaign.", 18)]
Commodity = Annotated[
    Text, Path(description="Commodity as the products have it.", examples=["SOUP"])
]
ProductId = Annotated[Integer, Field(ge=-BIGINT_MAX - 1, le=BIGINT_MAX)]
Metric = Literal["support", "confidence", "lift", "leverage", "conviction"]
MOST_EXCLUDED = 100
Score = Annotated[Integer, Field(ge=1, le=5)]
Day = Annotated[Integer, Field(ge=0, le=INTEGER_MAX)]
HouseholdSort = Literal[
    "household_key", "-household_key", "total_sales", "-total_sales", "rfm_bins", "-rfm_bins",
    "rfm_score", "-rfm_score", "last_day", "-last_day", "baskets", "-baskets",
]  # fmt: skip


def _section(name: str) -> Any:  # noqa: ANN401 - a field of whichever type
    return Field(description=f"Sales of section {name}, dollars.")


class Household(Document):
    """A household in scope: its recency, frequency and monetary scores, and its totals."""

    household_key: int = Field(description="Household.", examples=[1])
    first_day: int = Field(
        description="First shopping day in scope; day 1 is 2004-03-23.", examples=[102]
    )
    last_day: int = Field(description="Last shopping day in scope.", examples=[706])
    baskets: int = Field(description="Distinct baskets.", examples=[83])
    baskets_per_day: float = Field(
        description="Baskets ÷ (last day − first day + 1), which frequency is scored by.",  # noqa: RUF001
        examples=[0.1371900826446281],
    )
    total_sales: Money = Field(
        description="Sales of all lines in scope, dollars.", examples=[4120.07]
    )
    r_score: int = Field(description="Recency, 1 to 5, by the last shopping day.", examples=[5])
    f_score: int = Field(
        description="Frequency, 1 to 5, the fifth by baskets per day.", examples=[3]
    )
    m_score: int = Field(
        description="Monetary value, 1 to 5, the fifth by the logarithm of total sales.",
        examples=[4],
    )
    rfm_score: int = Field(description="Sum of the three scores, 3 to 15.", examples=[12])
    rfm_bins: int = Field(
        description="Bin of the sum: 3–5 is 1, 6–8 is 2, 9–12 is 3, 13–14 is 4, 15 is 5.",  # noqa: RUF001
        examples=[3],
    )
    has_demographics: bool = Field(
        description="Whether the household's demographics are known, so that it has a summary.",
        examples=[True],
    )


class HouseholdSummary(Document):
    """Who a household is, what it is worth, and what it spends by section of the shop."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "index": 0, "household_key": 1, "age_45_plus": True, "income_50K_plus": False,
                    "single_couple_family": 2, "has_kids": False, "single": False, "couple": True,
                    "r_score": 5, "f_score": 3, "m_score": 4, "rfm_score": 12, "rfm_bins": 3,
                    "alcohol": 6.48, "beverages": 314.83, "concessions": 20.33, "dairy": 362.76,
                    "drug": 53.44, "garden": 0.0, "grain_goods": 668.41, "grocery": 230.24,
                    "home_family": 537.29, "junk_food": 764.02, "kitchen": 1.59, "meat": 379.04,
                    "misc": 303.82, "produce": 477.82, "seasonal": 0.0, "total_sales": 4120.07,
                }
            ]
        },
    )  # fmt: skip

    index: int = Field(description="Position by household_key, from 0.")
    household_key: int = Field(description="Household.")
    age_45_plus: bool = Field(description="Whether the head of household is 45 or older.")
    income_50K_plus: bool = Field(  # noqa: N815 - published name
        description="Whether the yearly income is 50,000 dollars or more."
    )
    single_couple_family: int | None = Field(
        description="Household size as 1 single, 2 couple, 3 family of three or more."
    )
    has_kids: bool = Field(description="Whether kids live in the household.")
    single: bool = Field(description="Whether one adult lives alone.")
    couple: bool = Field(description="Whether two adults live without kids.")
    r_score: int = Field(description="Recency, 1 to 5.")
    f_score: int = Field(description="Frequency, 1 to 5.")
    m_score: int = Field(description="Monetary value, 1 to 5.")
    rfm_score: int = Field(description="Sum of the three scores, 3 to 15.")
    rfm_bins: int = Field(description="Bin of the sum, 1 to 5.")
    alcohol: Money = _section("alcohol")
    beverages: Money = _section("beverages")
    concessions: Money = _section("concessions")
    dairy: Money = _section("dairy")
    drug: Money = _section("drug")
    garden: Money = _section("garden")
    grain_goods: Money = _section("grain_goods")
    grocery: Money = _section("grocery")
    home_family: Money = _section("home_family")
    junk_food: Money = _section("junk_food")
    kitchen: Money = _section("kitchen")
    meat: Money = _section("meat")
    misc: Money = _section("misc")
    produce: Money = _section("produce")
    seasonal: Money = _section("seasonal")
    total_sales: Money = Field(description="Sales of all sections, dollars.")


class DailySpend(Document):
    """What a household spent on a day on which it shopped, by section of the shop."""

    day: int = Field(description="Day of the study; 1 is 2004-03-23.", examples=[102])
    household_key: int = Field(description="Household.", examples=[1])
    alcohol: Money = _section("alcohol")
    beverages: Money = _section("beverages")
    concessions: Money = _section("concessions")
    dairy: Money = _section("dairy")
    drug: Money = _section("drug")
    garden: Money = _section("garden")
    grain_goods: Money = _section("grain_goods")
    grocery: Money = _section("grocery")
    home_family: Money = _section("home_family")
    junk_food: Money = _section("junk_food")
    kitchen: Money = _section("kitchen")
    meat: Money = _section("meat")
    misc: Money = _section("misc")
    produce: Money = _section("produce")
    seasonal: Money = _section("seasonal")
    total_sales: Money = Field(description="Sales of all sections, dollars.", examples=[30.15])


class WeeklySales(Document):
    """What a household bought in a week in which it shopped."""

    household_key: int = Field(description="Household.", examples=[1])
    week_no: int = Field(description="Week of the study, (day + 8) div 7.", examples=[16])
    baskets: int = Field(description="Distinct baskets.", examples=[2])
    lines: int = Field(description="Lines of those baskets.", examples=[31])
    quantity: int = Field(description="Units; weights and volumes in small units.", examples=[36])
    total_sales: Money = Field(description="Sales, dollars.", examples=[74.12])


class CampaignSummary(Document):
    """A campaign: when it ran, whom it reached, and sales of its couponed products around it."""

    campaign: int = Field(description="Campaign.", examples=[18])
    campaign_type: str | None = Field(description="TypeA, TypeB or TypeC.", examples=["TypeA"])
    start_day: int = Field(description="First day of the campaign.", examples=[587])
    end_day: int = Field(
        description="Last day of the campaign; may lie after the data.", examples=[642]
    )
    first_day: int | None = Field(
        description="Later of start and the first day of the data; null where the campaign lies "
        "outside the data.",
        examples=[587],
    )
    last_day: int | None = Field(
        description="Earlier of end and the last day of the data; null where the campaign lies "
        "outside the data.",
        examples=[642],
    )
    duration_days: int = Field(
        description="Days from first to last day, both included; 0 where the campaign lies "
        "outside the data.",
        examples=[56],
    )
    days_before: int = Field(
        description="Days before the first day that sales_before covers; at most the duration.",
        examples=[56],
    )
    days_after: int = Field(
        description="Days after the last day that sales_after covers; at most the duration.",
        examples=[56],
    )
    products: int = Field(
        description="Distinct products of the campaign's coupons.", examples=[3000]
    )
    sales_before: Money = Field(
        description="Sales of those products in the days before, dollars.", examples=[50123.45]
    )
    sales_during: Money = Field(
        description="Sales of those products from first to last day, dollars.", examples=[52001.1]
    )
    sales_after: Money = Field(
        description="Sales of those products in the days after, dollars.", examples=[51000.0]
    )
    households_targeted: int = Field(
        description="Households that the campaign was sent to.", examples=[1100]
    )
    households_redeeming: int = Field(
        description="Households that redeemed a coupon of the campaign.", examples=[200]
    )
    redemptions: int = Field(description="Coupons redeemed.", examples=[600])


class DailyCampaignSales(Document):
    """Sales of the products in a campaign's coupons on a day; each line counts once."""

    day: int = Field(description="Day of the study; 1 is 2004-03-23.", examples=[587])
    campaign: int = Field(description="Campaign.", examples=[18])
    lines: int = Field(description="Lines sold.", examples=[410])
    quantity: int = Field(
        description="Units sold; weights and volumes in small units.", examples=[520]
    )
    total_sales: Money = Field(description="Sales, dollars.", examples=[1203.9])


class CampaignResponse(Document):
    """What a household made of a campaign that was sent to it or whose coupons it redeemed."""

    household_key: int = Field(description="Household.", examples=[1])
    campaign: int = Field(description="Campaign.", examples=[18])
    campaign_type: str | None = Field(description="TypeA, TypeB or TypeC.", examples=["TypeA"])
    start_day: int = Field(description="First day of the campaign.", examples=[587])
    end_day: int = Field(
        description="Last day of the campaign; may lie after the data.", examples=[642]
    )
    redemptions: int = Field(
        description="Times that the household redeemed a coupon of the campaign.", examples=[2]
    )
    coupons_redeemed: int = Field(
        description="Distinct coupons of the campaign that it redeemed.", examples=[2]
    )
    first_redemption_day: int | None = Field(
        description="Day of its first redemption; null without one.", examples=[601]
    )
    days_to_redeem: int | None = Field(
        description="Days from the campaign's first day to that redemption; null without one.",
        examples=[14],
    )
    is_targeted: bool = Field(
        description="Whether the campaign was sent to the household.", examples=[True]
    )
    has_redeemed: bool = Field(
        description="Whether the household redeemed a coupon of the campaign.", examples=[True]
    )


class ProductRecommendation(Document):
    """A product that the household's next basket may hold, and why."""

    household_key: int = Field(description="Household.", examples=[1])
    rank: int = Field(
        description="Place among all recommendations of the household, 1 is the best.",
        examples=[1],
    )
    product_id: int = Field(description="Product.", examples=[1082185])
    score: float = Field(
        description="Higher is likelier; comparable within the household.", examples=[0.61]
    )
    kind: str = Field(
        description="repeat where the household bought it before, else new.", examples=["repeat"]
    )
    reason: str = Field(
        description="Why, in words.",
        examples=["bought 14 times, usually every 6 days, last 5 days ago"],
    )
    purchases: int = Field(description="Baskets of the household with it.", examples=[14])
    usual_days: int | None = Field(
        description="Mean days between its purchases; null where there were fewer than two.",
        examples=[6],
    )
    last_days: int | None = Field(
        description="Days from its last purchase to the last day of the data; null where new.",
        examples=[5],
    )


class CommodityAssociation(Document):
    """How often a commodity comes with another, and how much more often than by chance."""

    commodity: str = Field(description="The commodity in the basket.", examples=["SOUP"])
    associated_commodity: str = Field(
        description="The commodity that comes with it.", examples=["CRACKERS/MISC BKD FD"]
    )
    baskets: int = Field(description="Baskets with both.", examples=[5210])
    commodity_baskets: int = Field(description="Baskets with the first.", examples=[30120])
    associated_baskets: int = Field(description="Baskets with the second.", examples=[25210])
    all_baskets: int = Field(description="Baskets with any merchandise.", examples=[230114])
    support: float = Field(description="Share of all baskets with both.", examples=[0.0226])
    confidence: float = Field(
        description="Share of the baskets with the first that hold the second.", examples=[0.173]
    )
    lift: float = Field(
        description="Confidence over the share of all baskets with the second; 1 is chance.",
        examples=[1.58],
    )
    leverage: float = Field(
        description="Support less what it would be by chance; 0 is chance.", examples=[0.0083]
    )
    conviction: float | None = Field(
        description="(1 - share with the second) over (1 - confidence); 1 is chance, null where "
        "the first never comes without the second.",
        examples=[1.077],
    )


class RecommendationPage(Page):
    """A page of a household's recommendations, the best first."""

    data: list[ProductRecommendation]


class AssociationPage(Page):
    """A page of what a commodity comes with, the highest by the metric first."""

    data: list[CommodityAssociation]


class HouseholdPage(Page):
    """A page of households."""

    data: list[Household]


class DailySpendPage(Page):
    """A page of a household's shopping days, the earliest first."""

    data: list[DailySpend]


class WeeklySalesPage(Page):
    """A page of a household's shopping weeks, the earliest first."""

    data: list[WeeklySales]


class CampaignResponsePage(Page):
    """A page of what a household made of campaigns, by number."""

    data: list[CampaignResponse]


class CampaignPage(Page):
    """A page of campaigns, by number."""

    data: list[CampaignSummary]


class DailyCampaignSalesPage(Page):
    """A page of a campaign's days, the earliest first."""

    data: list[DailyCampaignSales]


class HouseholdsQuery(PageQuery):
    """Which households, in which order."""

    rfm_bins: Score | None = Field(default=None, description="Only this bin.")
    r_score: Score | None = Field(default=None, description="Only this recency.")
    f_score: Score | None = Field(default=None, description="Only this frequency.")
    m_score: Score | None = Field(default=None, description="Only this monetary value.")
    has_demographics: bool | None = Field(
        default=None, description="Only households with a summary (true), or without."
    )
    min_total_sales: Amount | None = Field(default=None, description="Only sales of this or more.")
    max_total_sales: Amount | None = Field(default=None, description="Only sales of this or less.")
    sort: HouseholdSort = Field(
        default="household_key",
        description="Order; with a minus, descending. Ties go by household_key.",
    )


class DaysQuery(PageQuery):
    """Which days."""

    from_day: Day = Field(default=0, description="First day.")
    to_day: Day = Field(default=INTEGER_MAX, description="Last day, included.")


class ResponsesQuery(PageQuery):
    """Which campaigns."""

    has_redeemed: bool | None = Field(
        default=None, description="Only campaigns with a redemption (true), or without."
    )


class WeeksQuery(PageQuery):
    """Which weeks."""

    from_week: Day = Field(default=0, description="First week.")
    to_week: Day = Field(default=INTEGER_MAX, description="Last week, included.")


class RecommendationsQuery(PageQuery):
    """Which recommendations."""

    limit: Integer = Field(
        default=10, alias="k", ge=1, le=MAX_LIMIT, description="Products, at most."
    )
    only: Literal["repeat", "new"] | None = Field(
        default=None, description="Only what the household bought before, or only what is new."
    )
    exclude: list[ProductId] | None = Field(
        default=None,
        max_length=MOST_EXCLUDED,
        description="Products to leave out; may be given several times.",
    )


class AssociationsQuery(PageQuery):
    """Which measure decides the order."""

    metric: Metric = Field(
        default="lift",
        description="Measure to order by, the highest first; a null conviction comes last.",
    )

    @property
    def sort(self) -> str:
        """The order as lists have it."""
        return f"-{self.metric}"
