"""Loyalty: what became of clicks in each promotion, and who is in the fan club."""

from collections.abc import Sequence

import streamlit as st

from services.dashboard import charts, data, inputs, states, words
from services.dashboard.client import ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Loyalty"
ICON = ":material/favorite:"
PATH = "loyalty"

STAGES = ("clicks", "baskets", "purchases")
JOINED = {"list": "by the list", "purchase": "by a purchase"}
GENDERS = {"F": "woman", "M": "man"}
CONVERSIONS = "/v1/marts/loyalty/conversions"
MOST_CONVERSIONS = 100


def show() -> None:
    """A promotion, the first unless the address names another (`?promotion=BilbyMug`)."""
    st.title(TITLE)
    channels = data.rows("/v1/promotions")
    if not channels:
        states.empty("Nobody has clicked, filled a basket or bought in a promotion yet.")
    else:
        _show_promotion(channels)
    _show_club()
    _show_member()


def _show_promotion(channels: Sequence[Row]) -> None:
    promotions = list(dict.fromkeys(row["promotion"] for row in channels))
    promotion = inputs.choose("Promotion", promotions, "promotion")
    shown = [
        dict(row) | {"channel": words.in_words(row["channel"][:1].upper() + row["channel"][1:])}
        for row in channels
        if row["promotion"] == promotion
    ]
    st.header("From click to purchase")
    charts.show(_funnel(shown), what=f"Clicks, baskets and purchases of {promotion} by channel")
    table(
        shown,
        [
            *("channel", *STAGES, "basket_rate", "purchase_rate"),
            *("revenue", "extra_codes_sent"),
        ],
        what=f"{promotion} by channel",
    )


def _funnel(channels: Sequence[Row]) -> charts.AnyChart:
    """Bars of the three stages, one for each channel side by side."""
    rows = [
        {"stage": words.label(stage), "channel": row["channel"], "count": row[stage]}
        for stage in STAGES
        for row in channels
    ]
    return charts.grouped_bars(rows, "stage", "channel", "count")


def _show_club() -> None:
    st.header("The fan club")
    for column, (joined_by, words_) in zip(st.columns(len(JOINED)), JOINED.items(), strict=True):
        found = data.read("/v1/members", joined_by=joined_by, count=True, limit=1, fields="email")
        column.metric(f"Members {words_}", words.number(found["count"]), border=True)


@states.closed_parts_shown()
def _show_member() -> None:
    st.header("Find a member")
    # Not a part of the address, which browsers and proxies remember.
    email = st.text_input("Email", placeholder="somebody@example.net", width=420).strip()
    if not email:
        st.caption("Upper and lower case make no difference.")
        return
    member = data.find(f"/v1/members/{data.in_path(email)}")
    if member is None:
        states.empty("Nobody with this email is in the club.")
    else:
        st.markdown(" · ".join(_facts(member)))
    did = _conversions(email)
    if not did:
        states.empty("This email did nothing in a promotion.")
        return
    table(
        [dict(row) | {"conversion_type": row["conversion_type"].capitalize()} for row in did],
        ["promotion", "conversion_type", "channel", "items_count", "total", "converted_at"],
        what="What this email did in promotions",
    )


def _conversions(email: str) -> list[Row]:
    try:
        return data.rows(CONVERSIONS, email=email.lower(), limit=MOST_CONVERSIONS)
    except ServiceError as error:
        # An email that no row has; the problem's text lists those of others.
        if error.trouble is Trouble.REFUSED:
            return []
        raise


def _facts(member: Row) -> list[str]:
    facts = [f"**{member['email']}**", f"a member {JOINED[member['joined_by']]}"]
    if member["joined_at"] is not None:
        facts.append(f"since {words.day(member['joined_at'][:10])}")
    if member["gender"] is not None:
        facts.append(GENDERS[member["gender"]])
    for name, column in (("Facebook", "fb_user"), ("Instagram", "insta_user")):
        if member[column] is not None:
            facts.append(f"{member[column]} on {name}")
    return facts
