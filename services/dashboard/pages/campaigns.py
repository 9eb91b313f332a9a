"""Campaigns: whom they reached, what sold before, during and after, who redeemed, by segment."""

from collections.abc import Sequence

import altair as alt
import streamlit as st

from services.dashboard import charts, data, inputs, links, states, words
from services.dashboard.data import Row
from services.dashboard.tables import csv_button, table

TITLE = "Campaigns"
ICON = ":material/campaign:"
PATH = "campaigns"

CHART_HEIGHT = 240
RESPONSES = "/v1/marts/household/campaign_response"
SEGMENTS = "/v1/marts/household/household_segments"
# Of a campaign, with the columns of how many days they have.
STRETCHES = {"before": "days_before", "during": "duration_days", "after": "days_after"}


def show() -> None:
    """A campaign, the latest unless the address names another (`?campaign=18`)."""
    st.title(TITLE)
    campaigns = data.rows("/v1/campaigns", sort="-start_day")
    if not campaigns:
        states.empty("There are no campaigns in the data.")
        return
    number = inputs.choose("Campaign", [str(row["campaign"]) for row in campaigns], "campaign")
    campaign = next(row for row in campaigns if str(row["campaign"]) == number)
    _show_reach(campaign)
    if campaign["first_day"] is None:
        states.empty("No day of this campaign is in the data, so there are no sales to compare.")
    else:
        _show_sales(campaign)
        _show_days(campaign)
    _show_segments(campaign)
    _show_responders(campaign)
    _show_all(campaigns)


def _show_reach(campaign: Row) -> None:
    st.header(
        f"{words.campaign_type(campaign['campaign_type'])}, "
        f"{words.day(campaign['start_date'])} to {words.day(campaign['end_date'])}"
    )
    products, sent, redeeming, redemptions = st.columns(4)
    products.metric("Products with coupons", words.number(campaign["products"]), border=True)
    sent.metric("Households sent it", words.number(campaign["households_targeted"]), border=True)
    redeeming.metric(
        "Households that redeemed", words.number(campaign["households_redeeming"]), border=True
    )
    redemptions.metric("Coupons redeemed", words.number(campaign["redemptions"]), border=True)


def _show_sales(campaign: Row) -> None:
    st.header("Sales before, during and after")
    stretches = _stretches(campaign)
    charts.show(
        charts.bars(
            [
                {"days": days, "total_sales": campaign[f"sales_{stretch}"]}
                for stretch, days in stretches.items()
            ],
            "days",
            "total_sales",
        ),
        what="Sales of the campaign's products before, during and after it",
    )
    note = "Sales of the products that it had coupons for, to all households."
    if len({campaign[column] for column in STRETCHES.values()}) > 1:
        note += " The data begin or end too near it for stretches of the same length."
    st.caption(note)


def _stretches(campaign: Row) -> dict[str, str]:
    """The stretches of days that are compared, in words: before is 56 days before."""
    return {
        stretch: f"{_count(campaign[column])} {stretch}" for stretch, column in STRETCHES.items()
    }


def _count(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


def _show_days(campaign: Row) -> None:
    st.header("Day by day")
    sold = data.rows(
        f"/v1/campaigns/{campaign['campaign']}/daily-sales",
        from_day=campaign["first_day"] - campaign["days_before"],
        to_day=campaign["last_day"] + campaign["days_after"],
    )
    line = (
        alt.Chart(charts.frame(sold, ["date", "total_sales", "lines", "quantity"]))
        .mark_area(color=charts.MAIN, opacity=0.35, line={"color": charts.MAIN, "strokeWidth": 1.5})
        .encode(
            x=charts.days("date", format_="%-d %b %Y"),
            y=charts.amounts("total_sales"),
            tooltip=charts.tooltips(["date", "total_sales", "lines", "quantity"]),
        )
    )
    ran = (
        alt.Chart(charts.frame([campaign], ["first_date", "last_date"]))
        .mark_rect(color=charts.QUIET, opacity=0.25)
        .encode(x=charts.days("first_date", format_="%-d %b %Y"), x2="last_date:T")
    )
    charts.show(
        alt.layer(ran, line).properties(height=CHART_HEIGHT),
        what="Sales of the campaign's products by day, the days of the campaign shaded",
    )
    st.caption("Shaded: the campaign ran.")


def _show_segments(campaign: Row) -> None:
    st.header("By segment")
    number = campaign["campaign"]
    path = f"/v1/campaigns/{number}/segments"
    segments = [dict(row) | {"segment": words.segment(row["segment"])} for row in data.rows(path)]
    if not segments:
        states.empty("It was sent to no household.")
        return
    st.caption(
        "Of the households that it was sent to, each by the segment that it was in at the end of "
        "the last four weeks before the campaign."
    )
    figures = ["households_targeted", "households_redeeming", "redemption_rate"]
    if campaign["first_day"] is not None:
        figures += [f"mean_sales_{stretch}" for stretch in STRETCHES]
        st.subheader("Sales per household before, during and after")
        charts.show(
            charts.grouped_bars(
                _per_household(campaign, segments), "segment", "days", "mean_sales", format_="$,.2f"
            ),
            what="What a household bought of the campaign's products before, during and after it, "
            "by segment",
        )
    st.subheader("Households that redeemed")
    charts.show(
        charts.bars(
            segments,
            "segment",
            "redemption_rate",
            tooltip=["households_redeeming", "households_targeted"],
        ),
        what="Share of households that redeemed a coupon of the campaign, by segment",
    )
    table(
        segments,
        ["segment", *figures],
        what="Households and sales of the campaign by segment, the most valuable first",
    )
    csv_button(f"campaign {number} by segment", path)


def _per_household(campaign: Row, segments: Sequence[Row]) -> list[Row]:
    """Mean sales of every segment in every stretch of days."""
    return [
        {"segment": row["segment"], "days": days, "mean_sales": row[f"mean_sales_{stretch}"]}
        for row in segments
        for stretch, days in _stretches(campaign).items()
    ]


@states.closed_parts_shown()
def _show_responders(campaign: Row) -> None:
    st.header("Who responded")
    number = campaign["campaign"]
    responses = data.whole(RESPONSES, campaign=number)
    redeemed = sorted(
        (row for row in responses if row["has_redeemed"]), key=lambda row: -row["redemptions"]
    )
    if not redeemed:
        states.empty("No household redeemed a coupon of it.")
        return
    chosen = table(
        _with_segments(redeemed),
        [
            *("household_key", "segment", "redemptions", "coupons_redeemed"),
            *("first_redemption_date", "days_to_redeem", "is_targeted"),
        ],
        what="Households that redeemed coupons of the campaign, those with most first",
        key=f"responders of {number}",
    )
    st.caption("Choose a row to see the household. The segment is today's.")
    csv_button(f"campaign {number}", RESPONSES, campaign=number)
    if chosen is not None:
        links.go_to("household", household=chosen["household_key"])


def _with_segments(redeemed: Sequence[Row]) -> list[Row]:
    """Households with the segment that each is in today, if it is in scope."""
    keys = ",".join(str(row["household_key"]) for row in redeemed)
    found = data.rows(SEGMENTS, household_key=keys)
    segments = {row["household_key"]: row["segment"] for row in found}
    return [dict(row) | {"segment": segments.get(row["household_key"])} for row in redeemed]


def _show_all(campaigns: Sequence[Row]) -> None:
    st.header("All campaigns")
    table(
        [
            dict(row)
            | {
                "campaign_type": words.campaign_type(row["campaign_type"]),
                # As the widget at the top names it.
                "name": str(row["campaign"]),
            }
            for row in campaigns
        ],
        [
            *("campaign", "campaign_type", "start_date", "end_date"),
            *("households_targeted", "households_redeeming", "redemptions"),
        ],
        what="All campaigns, the latest first",
        key="campaigns",
        sets={"campaign": "name"},
    )
