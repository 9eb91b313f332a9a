"""The customer marts as a plain pandas port of the rules.

An oracle that shares nothing with the SQL, and what the speed of the SQL is compared with.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

ASSIGNMENT_COLUMNS = ["timestamp", "country_code", "last_order_ts", "first_order_ts"]
ASSIGNMENT_COLUMNS += ["total_orders", "voucher_amount"]
DROP_REASONS = ["empty order count", "order count is no whole number", "negative order count"]
DROP_REASONS += ["zero order count", "missing date", "first order after last order"]
DROP_REASONS += ["last order after assignment"]
MOST_DIGITS = 9
DAY = pd.Timedelta(hours=24)
SEGMENTS = pd.DataFrame(
    [
        ("frequency_segment", "0-4", 1, 0, 4),
        ("frequency_segment", "5-13", 2, 5, 13),
        ("frequency_segment", "14-37", 3, 14, 37),
        ("recency_segment", "30-60", 1, 30, 60),
        ("recency_segment", "61-90", 2, 61, 90),
        ("recency_segment", "91-120", 3, 91, 120),
        ("recency_segment", "121-180", 4, 121, 180),
        ("recency_segment", "180+", 5, 181, None),
    ],
    columns=["segment_name", "segment", "position", "first_number", "last_number"],
)


def customer_marts(raw: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Computes all marts of the customer domain.

    `raw` holds the five datasets by name, columns in lower case: order counts as text, money as
    numbers, dates and timestamps as such or as ISO 8601 text. Missing values are null or, in
    text, blank. Money in the results is float, dates and timestamps are datetime64[us].
    """
    judged = _judged(raw["voucher_assignments"])
    segmented = _segmented(judged[judged["outcome"] == "kept"])
    ranking = _ranking(segmented)
    customers = _customers(raw["customer_accounts"])
    return {
        "voucher_assignment_segmented": segmented,
        "voucher_cleaning_report": _cleaning_report(judged["outcome"]),
        "voucher_ranking": ranking,
        "voucher_segments": SEGMENTS,
        "voucher_segment_shares": _segment_shares(segmented),
        "country_voucher_details_view": _details(ranking, "country").drop(columns="country"),
        "frequency_voucher_details_view": _details(ranking, "frequency_segment"),
        "recency_voucher_details_view": _details(ranking, "recency_segment"),
        "customers": customers,
        "customer_broadband": _broadband(raw["broadband_services"], customers),
        "customer_initial_services": _initial_services(raw["initial_services"], customers),
        "customer_cashback": _cashback(raw["cashback"], customers),
    }


def _segment_shares(segmented: pd.DataFrame) -> pd.DataFrame:
    found = []
    for name in ("frequency_segment", "recency_segment"):
        segment = segmented[name].astype("object").fillna("none")
        groups = segmented.groupby(["country_code", segment.rename("segment")])
        counted = groups.agg(
            assignments=("assignment_id", "size"), vouchers=("voucher_amount", "count")
        ).reset_index()
        of_country = counted.groupby("country_code")["assignments"].transform("sum")
        found.append(counted.assign(segment_name=name, share=counted["assignments"] / of_country))
    return pd.concat(found, ignore_index=True)


def _times(column: pd.Series) -> pd.Series:
    return pd.to_datetime(column, format="ISO8601").astype("datetime64[us]")


def _blank_to_none(column: pd.Series) -> pd.Series:
    return column.astype("object").where(column.notna() & (column != ""), None)


def _whole_number(text: str) -> float:
    """The whole number of a text, NaN where it holds none or one of too many digits."""
    whole, _, decimals = text.strip(" ").partition(".")
    sign, digits = (whole[0], whole[1:]) if whole[:1] in ("+", "-") else ("", whole)
    is_number = digits.isascii() and digits.isdecimal() and not decimals.strip("0")
    if not is_number or len(digits.lstrip("0")) > MOST_DIGITS:
        return np.nan
    return -float(digits) if sign == "-" else float(digits)


def _judged(raw: pd.DataFrame) -> pd.DataFrame:
    """Every raw row, with its outcome."""
    rows = pd.DataFrame(
        {
            "timestamp": _times(raw["timestamp"]),
            "country_code": _blank_to_none(raw["country_code"]),
            "last_order_ts": _times(raw["last_order_ts"]),
            "first_order_ts": _times(raw["first_order_ts"]),
            "total_orders": _blank_to_none(raw["total_orders"]),
            "voucher_amount": pd.to_numeric(raw["voucher_amount"]).astype("float64"),
        }
    )
    is_repeated = rows.duplicated(ASSIGNMENT_COLUMNS)
    logged = rows["total_orders"].fillna("")
    orders = logged.map({text: _whole_number(text) for text in logged.unique()})
    conditions = [
        logged.str.strip(" ") == "",
        orders.isna(),
        orders < 0,
        orders == 0,
        rows[["timestamp", "last_order_ts", "first_order_ts"]].isna().any(axis=1),
        rows["first_order_ts"] > rows["last_order_ts"],
        rows["last_order_ts"] > rows["timestamp"],
        is_repeated,
    ]
    outcomes = [*DROP_REASONS, "exact duplicate"]
    rows["outcome"] = np.select(conditions, outcomes, "kept")
    rows["total_orders"] = orders
    return rows


def _cleaning_report(outcomes: pd.Series) -> pd.DataFrame:
    names = ["kept", *DROP_REASONS, "exact duplicate"]
    rows = outcomes.value_counts().reindex(names, fill_value=0)
    return pd.DataFrame(
        {"outcome": names, "rows": rows.to_numpy(), "is_kept": [name == "kept" for name in names]}
    )


def _segmented(kept: pd.DataFrame) -> pd.DataFrame:
    rows = kept[ASSIGNMENT_COLUMNS].copy()
    rows["country_code"] = _blank_to_none(rows["country_code"].str.strip(" "))
    rows["total_orders"] = rows["total_orders"].astype("int64")
    rows = rows.sort_values(ASSIGNMENT_COLUMNS, na_position="last", ignore_index=True)
    rows.insert(0, "assignment_id", range(1, len(rows) + 1))
    days = (rows["timestamp"] - rows["last_order_ts"]) // DAY
    rows["frequency_segment"] = _named(
        rows["total_orders"], [0, 5, 14, 38], ["0-4", "5-13", "14-37"]
    )
    rows["recency_segment"] = _named(
        days,
        [30, 61, 91, 121, 181, np.inf],
        ["30-60", "61-90", "91-120", "121-180", "180+"],
    )
    return rows


def _named(numbers: pd.Series, bounds: list[float], names: list[str]) -> pd.Series:
    """The names of the intervals, lower bound included, that the numbers fall in."""
    return pd.cut(numbers, bounds, right=False, labels=names).astype("object")


def _ranking(segmented: pd.DataFrame) -> pd.DataFrame:
    segments = {
        "country": pd.Series("all", segmented.index),
        "frequency_segment": segmented["frequency_segment"],
        "recency_segment": segmented["recency_segment"],
    }
    group = ["country_code", "segment_name", "segment"]
    # Rows without one of the keys are in no group.
    used = pd.concat(
        [
            segmented.assign(segment_name=name, segment=segment)
            .groupby([*group, "voucher_amount"], as_index=False)
            .agg(times_used=("assignment_id", "size"))
            for name, segment in segments.items()
        ],
        ignore_index=True,
    )
    used = used.sort_values(["times_used", "voucher_amount"], ascending=False)
    used["share"] = used["times_used"] / used.groupby(group)["times_used"].transform("sum")
    used["rank"] = used.groupby(group).cumcount() + 1
    return used


def _details(ranking: pd.DataFrame, segment_name: str) -> pd.DataFrame:
    first = ranking[(ranking["segment_name"] == segment_name) & (ranking["rank"] == 1)]
    first = first.rename(columns={"segment": segment_name})
    return first[["country_code", segment_name, "voucher_amount", "times_used", "share"]]


def _customers(accounts: pd.DataFrame) -> pd.DataFrame:
    customers = pd.DataFrame(
        {
            "account_number": accounts["account_number"].astype("int64"),
            "account_status": _blank_to_none(accounts["account_status"]),
            "sign_up_date": _times(accounts["sign_up_date"]),
            "churn_date": _times(accounts["churn_date"]),
            "first_service_live_date": _times(accounts["first_service_live_date"]),
            "end_of_onboarding_period": _times(accounts["end_of_onboarding_period"]),
            "sign_up_source": _blank_to_none(accounts["sign_up_source"]),
            "property_occupier_status_at_sign_up": _blank_to_none(
                accounts["property_occupier_status_at_sign_up"]
            ),
            "referral_type": _blank_to_none(accounts["referral_type"]),
            "referral_type_code": _blank_to_none(accounts["referral_type_code"]),
            "referrers_account_number": accounts["referrers_account_number"].astype("Int64"),
        }
    )
    status = customers["account_status"].fillna("").str.strip(" ").str.upper()
    return customers[status != "TML"]


def _of_customers(rows: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["account_number"].isin(customers["account_number"])]


def _broadband(services: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    lines = _of_customers(services, customers)
    end_date = _times(lines["end_date"])
    return pd.DataFrame(
        {
            "account_number": lines["account_number"],
            "service_number": lines["service_number"],
            "package": _blank_to_none(lines["package"]),
            "speed_mbps": lines["speed_mbps"].astype("Int64"),
            "monthly_price": lines["monthly_price"].astype("float64"),
            "start_date": _times(lines["start_date"]),
            "end_date": end_date,
            "is_running": end_date.isna(),
        }
    )


def _initial_services(services: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    ordered = _of_customers(services, customers)
    return pd.DataFrame(
        {
            "account_number": ordered["account_number"],
            "service": ordered["service"],
            "quantity": ordered["quantity"].astype("Int64"),
            "ordered_date": _times(ordered["ordered_date"]),
        }
    )


def _cashback(cashback: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    months = _of_customers(cashback, customers)
    return pd.DataFrame(
        {
            "account_number": months["account_number"],
            "cashback_month": _times(months["cashback_month"]),
            "card_spend": months["card_spend"].astype("float64"),
            "cashback_amount": months["cashback_amount"].astype("float64"),
        }
    )
