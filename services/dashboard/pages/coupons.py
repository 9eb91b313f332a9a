"""Coupons: what is offered right now, what a customer would be offered and why, what came of it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import altair as alt
import streamlit as st

from pollux.runtime.settings import Settings
from services.dashboard import charts, data, inputs, live_offers, states, words
from services.dashboard.client import Service
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Coupons"
ICON = ":material/sell:"
PATH = "coupons"

BEST = 10
CUSTOMERS = 10
FACTORS = 8
CHART_HEIGHT = 320
# What the scorer takes of a coupon.
SCORED = (
    "coupon_id", "coupon_type", "department", "discount", "how_many_products_required",
    "product_mean_price", "products_available",
)  # fmt: skip


def show() -> None:
    """Live offers, and a customer's (`?customer=2`)."""
    st.title(TITLE)
    offered = data.rows("/v1/coupon-offers", sort="-event_date")
    is_answered = live_offers.show()
    _show_customer(asks_events=is_answered)
    _show_days(offered)


def _show_customer(*, asks_events: bool) -> None:
    st.header("What a customer would be offered, and why")
    number, day = st.columns(2, width=520)
    customer = inputs.number("Number of the customer", "customer", such_as=2, place=number)
    valid_on = day.date_input("Day", _today())
    if customer is None:
        _show_customers()
        return
    found = data.find(f"/v1/store-customers/{customer}")
    if found is None:
        states.empty(f"The shop has no customer {customer}. Choose one of these instead.")
        _show_customers()
        return
    st.markdown(" · ".join(_facts(found)))
    for part, is_asked in ((_show_offer, asks_events), (_show_scores, True)):
        if is_asked:
            with states.problems_shown():
                part(found, valid_on)


def _today() -> date:
    """The day by the shop's clock."""
    return datetime.now(_zone()).date()


def _zone() -> ZoneInfo:
    return ZoneInfo(Settings().store_timezone)


def _show_customers() -> None:
    customers = data.rows("/v1/store-customers", sort="-total_coupons_used", limit=CUSTOMERS)
    table(
        customers,
        [
            *("customer_id", "age", "total_items_bought", "total_coupons_used"),
            "mean_discount_received",
        ],
        what="Customers who use coupons most",
        key="customers",
        sets={"customer": "customer_id"},
    )
    st.caption("Choose a row to see what the customer would be offered.")


def _facts(customer: Row) -> list[str]:
    facts = [{"F": "Woman", "M": "Man"}.get(customer["gender"] or "", "Of unknown gender")]
    if customer["age"] is not None:
        facts.append(f"{customer['age']} years")
    facts.append(f"{words.number(customer['total_items_bought'])} items bought")
    facts.append(f"{words.number(customer['total_coupons_used'])} of them with coupons")
    return facts


def _show_offer(customer: Row, valid_on: date) -> None:
    noon = datetime.combine(valid_on, time(12), _zone()).astimezone(UTC)
    body = {"customer_id": customer["customer_id"], "at": noon.isoformat()}
    decided = data.ask(Service.EVENTS, "/v1/offers", {"dry_run": True}, body)
    if decided["coupon"] is None:
        st.markdown(f"**No offer on that day**: {decided['reason']}.")
        return
    coupon = decided["coupon"]
    offer = words.coupon(
        {
            "coupon_type": coupon["type"],
            "discount": f"{coupon['discount']:g}",
            "how_many_products_required": coupon["how_many"],
            "department": coupon["department"],
        }
    )
    st.markdown(
        f"**Offered on that day**: {offer} ({coupon['department']}, coupon {coupon['id']}), likely "
        f"to be used at {words.share(decided['likelihood'])}. An offer needs more than "
        f"{words.share(decided['threshold'])}."
    )


def _show_scores(customer: Row, valid_on: date) -> None:
    coupons = data.rows("/v1/coupons", valid_on=valid_on.isoformat())
    if not coupons:
        states.empty(f"No coupon is valid on {words.day(valid_on)}. Choose another day.")
        return
    by_id = {row["coupon_id"]: row for row in coupons}
    scores = _score(customer, coupons)
    ranked = [
        {
            "coupon_id": score["coupon_id"],
            "coupon": f"{by_id[score['coupon_id']]['department']} {score['coupon_id']}",
            "offer": words.coupon(by_id[score["coupon_id"]]),
            "likelihood": score["prediction"],
        }
        for score in scores
    ]
    charts.show(
        charts.bars(ranked[:BEST], "coupon", "likelihood", tooltip=["offer"]),
        what="The coupons that the customer is likeliest to use, and how likely",
    )
    st.caption(f"{words.number(len(coupons))} coupons are valid; these are the likeliest.")
    chosen = st.selectbox(
        "Why, for coupon",
        ranked,
        format_func=lambda row: f"{row['coupon']}: {row['offer']}",
        width=420,
    )
    (scored,) = _score(customer, [by_id[chosen["coupon_id"]]], explain=True)
    _show_reasons(scored["explanation"]["contributions"][:FACTORS])


def _score(customer: Row, coupons: Sequence[Row], **parameters: bool) -> list[Row]:
    """How likely the customer is to use each coupon, the likeliest first."""
    body = {
        "customer": customer,
        "coupons": [{name: coupon[name] for name in SCORED} for coupon in coupons],
    }
    found: list[Row] = data.ask(Service.SCORER, "/score", parameters, body)
    return found


def _show_reasons(contributions: Sequence[Row]) -> None:
    """What speaks for the use of a coupon, and what against it."""
    rows = [
        dict(row) | {"factor": row["feature"].replace("_", " ").capitalize()}
        for row in contributions
    ]
    base = alt.Chart(charts.frame(rows, ["factor", "added", "words"])).encode(
        y=alt.Y(
            "factor:N",
            sort=None,
            title=None,
            axis=alt.Axis(
                labelLimit=charts.LABEL_PIXELS, domain=False, ticks=False, labelPadding=6
            ),
        ),
        x=alt.X("added:Q", title=None, axis=None),
        tooltip=charts.tooltips(["words", "added"]),
    )
    colour = alt.condition(
        alt.FieldGTPredicate(field="added", gt=0), alt.value(charts.MAIN), alt.value(charts.AGAINST)
    )
    charts.show(
        base.mark_bar(cornerRadius=3)
        .encode(color=colour)
        .properties(height=alt.Step(charts.BAR_HEIGHT)),
        what="What speaks for and against the use of the coupon, the strongest first",
    )
    st.caption("To the right: makes use likelier. To the left: less likely.")
    st.markdown(
        "\n".join(f"- {words.sentence(row['words'].replace('_', ' '))}" for row in contributions)
    )


def _show_days(offered: Sequence[Row]) -> None:
    st.header("What came of offers")
    if not offered:
        states.empty(
            "No day with customers in the shop is in a release yet. `pollux demo-store` walks some "
            "through it; the next `pollux build` counts them."
        )
        return
    departments = sorted({row["department"] for row in offered})
    shown = ["event_date", "department", "offers", "focuses", "offers_used"]
    bars = (
        alt.Chart(charts.frame(offered, shown))
        .mark_bar()
        .encode(
            x=alt.X(
                "yearmonthdate(event_date):O",
                title=None,
                axis=alt.Axis(format="%-d %b %Y", labelAngle=0, labelOverlap="greedy"),
            ),
            y=charts.amounts("offers"),
            color=alt.Color(
                "department:N",
                title=None,
                scale=alt.Scale(domain=departments, range=charts.KINDS[: len(departments)]),
                legend=alt.Legend(orient="bottom", columns=3, labelLimit=charts.LABEL_PIXELS),
            ),
            tooltip=charts.tooltips(shown),
        )
    )
    charts.show(bars.properties(height=CHART_HEIGHT), what="Coupons offered by day and department")
    table(
        offered,
        ["event_date", "department", "entries", "focuses", "offers", "offers_used"],
        what="Offers by day and department, the latest day first",
    )
