"""The household marts as a plain pandas port of the rules.

An oracle that shares nothing with the SQL, and what the speed of the SQL is compared with.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# First and last day, first and last week.
STUDY = (101, 708, 0, 125)
RECENCY_DAYS = (183, 93, 33, 8)
NEEDED = ["household_key", "basket_id", "product_id", "quantity", "sales_value", "day"]
FUEL = "GASOLINE-REG UNLEADED"
PERIOD = 28
DAY_ZERO = pd.Timestamp(2004, 3, 22)
OFTEN = {1: "among the 20 % of households that shop least often"}
OFTEN |= {score: f"more often than {20 * score - 20} % of households" for score in range(2, 6)}
FIFTHS = {1: "lowest", 2: "second-lowest", 3: "middle", 4: "second-highest", 5: "highest"}
SECTIONS = ["alcohol", "beverages", "concessions", "dairy", "drug", "garden", "grain_goods"]
SECTIONS += ["grocery", "home_family", "junk_food", "kitchen", "meat", "misc", "produce"]
SECTIONS += ["seasonal"]
HIGH_INCOMES = ["50-74K", "75-99K", "100-124K", "125-149K", "150-174K", "175-199K", "200-249K"]
HIGH_INCOMES += ["250K+"]

NOT_MERCHANDISE = {"CHARITABLE CONT", "CNTRL/STORE SUP", "COUP/STR & MFG", "GM MERCH EXP"}
NOT_MERCHANDISE |= {"KIOSK-GAS", "MISC SALES TRAN", "MISC. TRANS.", "PHARMACY SUPPLY"}
NOT_MERCHANDISE |= {"POSTAL CENTER", "RX", "VIDEO RENTAL"}
NOT_COMMODITIES = {"(CORP USE ONLY)", "COUPON", "COUPON/MISC ITEMS", "COUPONS/STORE & MFG"}
NOT_COMMODITIES |= {"DELI SUPPLIES", "FUEL", "MEAT SUPPLIES", "MISCELLANEOUS(CORP USE ONLY)"}
NOT_COMMODITIES |= {"NO COMMODITY DESCRIPTION", "PROD SUPPLIES", "UNKNOWN"}
LEAST_BASKETS = 10


Window = tuple[int, int, int, int]


def moving_window(days: pd.Series) -> Window:
    """The window of data that go on: from their first day to the last that has a later one."""
    days = pd.to_numeric(days).dropna()
    first, last = days.min(), days[days < days.max()].max()
    return int(first), int(last), int((first + 8) // 7), int((last + 8) // 7)


def household_marts(
    raw: Mapping[str, pd.DataFrame],
    commodity_sections: Mapping[str, str],
    segments: pd.DataFrame,
    segment_grid: Mapping[tuple[int, int, int], str],
    window: Window = STUDY,
) -> dict[str, pd.DataFrame]:
    """Computes all marts of the household domain.

    `raw` holds the eight datasets by name, columns in lower case, money as float dollars;
    `commodity_sections` the section of each commodity; `segments` position, segment and meaning;
    `segment_grid` the segment of recency, frequency and monetary score; `window` the days and
    weeks to look at. Money in the results is float dollars, exact to the cent.
    """
    products = _products(raw["product"], commodity_sections)
    lines, outcomes = _lines_in_scope(raw["transaction_data"], products, window)
    lines["cents"] = (lines["sales_value"] * 100).round().astype("int64")
    rfm = _rfm(lines, raw["hh_demographic"], window)
    history = _segment_history(lines, segment_grid, window)
    daily_spend = _daily_spend(lines, products)
    daily_campaign_sales = _daily_campaign_sales(lines, raw["coupon"])
    campaigns = _campaign_summary(raw, lines, daily_campaign_sales)
    marts = {
        "products": products,
        "commodities": _commodities(lines, products),
        "household_cleaning_report": outcomes,
        "household_rfm": rfm,
        "household_segments": _segments(history, window),
        "household_segment_history": history.drop(columns=["first_day"]),
        "segment_sizes": _segment_sizes(history, segments, window),
        "segment_cells": _segment_cells(history, window),
        "segment_moves": _segment_moves(history),
        "daily_hh_spend": daily_spend,
        "hh_summary": _summary(rfm, daily_spend, raw["hh_demographic"]),
        "household_weekly_sales": _weekly_sales(lines),
        "daily_campaign_sales": daily_campaign_sales,
        "campaign_summary": campaigns,
        "campaign_response": _campaign_response(raw),
        "campaign_segments": _campaign_segments(raw, lines, history, campaigns, segments),
        "promotion_effect": _promotion_effect(raw["causal_data"], lines, products),
        "commodity_associations": _associations(lines, products),
    }
    return {name: _dated(mart) for name, mart in marts.items()}


def _dated(mart: pd.DataFrame) -> pd.DataFrame:
    """A mart with the date of every day beside it; day 1 is 2004-03-23."""
    days = [name for name in mart.columns if f"_{name}".endswith("_day")]
    days = [name for name in days if name != "baskets_per_day"]
    return mart.assign(
        **{
            f"{name.removesuffix('day')}date": DAY_ZERO
            + pd.to_timedelta(mart[name].astype("float64"), unit="D")
            for name in days
        }
    )


def household_seeds(folder: Path) -> dict[str, Any]:
    """What `household_marts` takes from the project's seeds."""
    sections = pd.read_csv(folder / "commodity_sections.csv")
    grid = pd.read_csv(folder / "segment_grid.csv")
    return {
        "commodity_sections": dict(sections.itertuples(index=False)),
        "segments": pd.read_csv(folder / "segments.csv"),
        "segment_grid": {(r, f, m): name for r, f, m, name in grid.itertuples(index=False)},
    }


def _blank_to_none(column: pd.Series) -> pd.Series:
    trimmed = column.astype("object").str.strip()
    return trimmed.where(trimmed != "", None)


def _products(product: pd.DataFrame, commodity_sections: Mapping[str, str]) -> pd.DataFrame:
    commodity = _blank_to_none(product["commodity_desc"])
    return pd.DataFrame(
        {
            "product_id": product["product_id"],
            "manufacturer": product["manufacturer"],
            "department": _blank_to_none(product["department"]),
            "brand": _blank_to_none(product["brand"]),
            "commodity": commodity,
            "sub_commodity": _blank_to_none(product["sub_commodity_desc"]),
            "size": _blank_to_none(product["curr_size_of_product"]),
            "section": commodity.map(commodity_sections).fillna("misc"),
        }
    )


def _commodities(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    named = products.dropna(subset="commodity").set_index("product_id")
    sold = lines.assign(commodity=lines["product_id"].map(named["commodity"]))
    sold = sold.groupby("commodity")["cents"].agg(["size", "sum"])
    found = named.groupby(["commodity", "section"]).size().rename("products").reset_index()
    of_commodity = sold.reindex(found["commodity"]).fillna(0)
    return found.assign(
        lines=of_commodity["size"].to_numpy("int64"),
        total_sales=of_commodity["sum"].to_numpy() / 100,
    )


def _lines_in_scope(
    transactions: pd.DataFrame, products: pd.DataFrame, window: Window
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lines that count, and how many were dropped by each rule, one after the other."""
    first_day, last_day, first_week, last_week = window
    lines = transactions.replace("", None).dropna(subset=NEEDED)
    report = {"blank field": len(transactions) - len(lines)}
    week_of_day = (lines["day"].astype("float64") + 8) // 7
    lines["week_no"] = pd.to_numeric(lines["week_no"]).fillna(week_of_day)
    numbers = [*NEEDED, "week_no"]
    lines = lines.astype({name: "float64" for name in numbers if name != "basket_id"})
    lines = lines.astype({name: "int64" for name in numbers if name != "sales_value"})
    fuel = products.loc[products["sub_commodity"] == FUEL, "product_id"]
    rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "nothing bought or paid": lambda of: (of["quantity"] > 0) & (of["sales_value"] > 0),
        "outside the days in scope": lambda of: of["day"].between(first_day, last_day),
        "outside the weeks in scope": lambda of: of["week_no"].between(first_week, last_week),
        "unknown product": lambda of: of["product_id"].isin(products["product_id"]),
        "fuel": lambda of: ~of["product_id"].isin(fuel),
        "household of one day": lambda of: (
            of.groupby("household_key")["day"].transform("nunique") > 1
        ),
    }
    for reason, is_kept in rules.items():
        kept = lines[is_kept(lines)]
        report[reason] = len(lines) - len(kept)
        lines = kept
    report["kept"] = len(lines)
    outcomes = pd.DataFrame(list(report.items()), columns=["outcome", "lines"])
    return lines.copy(), outcomes


def _fifth(values: pd.Series) -> pd.Series:
    bounds = values.quantile([0.2, 0.4, 0.6, 0.8], interpolation="linear").to_numpy()
    return pd.Series(np.searchsorted(bounds, values.to_numpy(), side="left") + 1, values.index)


def _rfm(lines: pd.DataFrame, demographics: pd.DataFrame, window: Window) -> pd.DataFrame:
    rfm = lines.groupby("household_key").agg(
        first_day=("day", "min"),
        last_day=("day", "max"),
        baskets=("basket_id", "nunique"),
        cents=("cents", "sum"),
    )
    rfm["baskets_per_day"] = rfm["baskets"] / (rfm["last_day"] - rfm["first_day"] + 1)
    rfm["total_sales"] = rfm["cents"] / 100
    bounds = [window[1] - days for days in RECENCY_DAYS]
    rfm["r_score"] = np.searchsorted(bounds, rfm["last_day"], side="left") + 1
    rfm["f_score"] = _fifth(rfm["baskets_per_day"])
    rfm["m_score"] = _fifth(np.log(rfm["total_sales"]))
    rfm["rfm_score"] = rfm["r_score"] + rfm["f_score"] + rfm["m_score"]
    rfm["rfm_bins"] = np.searchsorted([5, 8, 12, 14], rfm["rfm_score"], side="left") + 1
    rfm["has_demographics"] = rfm.index.isin(demographics["household_key"])
    return rfm.drop(columns="cents").reset_index()


def _segment_history(
    lines: pd.DataFrame, segment_grid: Mapping[tuple[int, int, int], str], window: Window
) -> pd.DataFrame:
    """Every period anew from all lines up to its end, by the rules of `_rfm`."""
    ends = [window[1]]
    while ends[0] - PERIOD >= window[0] + PERIOD - 1:
        ends.insert(0, ends[0] - PERIOD)
    periods: list[pd.DataFrame] = []
    before: dict[int, tuple[str, int]] = {}
    for end in ends:
        seen = lines[lines["day"] <= end].groupby("household_key")
        period = seen.agg(
            first_day=("day", "min"),
            last_day=("day", "max"),
            baskets=("basket_id", "nunique"),
            total_sales=("cents", "sum"),
        )
        period = period[period["first_day"] < period["last_day"]].copy()
        if period.empty:
            continue
        period["total_sales"] /= 100
        period["baskets_per_day"] = period["baskets"] / (
            period["last_day"] - period["first_day"] + 1
        )
        away = end - period["last_day"]
        period["r_score"] = 5 - sum((away >= days).astype("int64") for days in RECENCY_DAYS)
        period["f_score"] = _fifth(period["baskets_per_day"])
        period["m_score"] = _fifth(np.log(period["total_sales"]))
        scores = period[["r_score", "f_score", "m_score"]].itertuples(index=False, name=None)
        period["segment"] = [segment_grid[score] for score in scores]
        previous = [before.get(key, (None, end)) for key in period.index]
        period["previous_segment"] = [segment for segment, _ in previous]
        period["since_day"] = [
            since if segment == was else end
            for segment, (was, since) in zip(period["segment"], previous, strict=True)
        ]
        period["period_end"] = end
        before = dict(
            zip(period.index, zip(period["segment"], period["since_day"], strict=True), strict=True)
        )
        periods.append(period.reset_index())
    history = pd.concat(periods, ignore_index=True)
    history["period_end_date"] = DAY_ZERO + pd.to_timedelta(history["period_end"], unit="D")
    return history


def _segments(history: pd.DataFrame, window: Window) -> pd.DataFrame:
    today = history[history["period_end"] == window[1]].copy()
    today["days_since_visit"] = window[1] - today["last_day"]
    today["why"] = [
        f"last visit {_ago(row.days_since_visit)}, {OFTEN[row.f_score]}, sales in the "
        f"{FIFTHS[row.m_score]} fifth"
        for row in today.itertuples()
    ]
    names = ["household_key", "segment", "since_day", "r_score", "f_score"]
    names += ["m_score", "last_day", "days_since_visit", "baskets_per_day", "total_sales", "why"]
    return today[names]


def _ago(days: int) -> str:
    if days == 0:
        return "on the last day"
    return "1 day before the end" if days == 1 else f"{days} days before the end"


def _segment_sizes(history: pd.DataFrame, segments: pd.DataFrame, window: Window) -> pd.DataFrame:
    history = history.assign(cents=(history["total_sales"] * 100).round().astype("int64"))
    rows = []
    for (end, when), period in history.groupby(["period_end", "period_end_date"]):
        for one in segments.itertuples():
            held = period[period["segment"] == one.segment]
            rows.append(
                {
                    "period_end": end,
                    "period_end_date": when,
                    "position": one.position,
                    "segment": one.segment,
                    "meaning": one.meaning,
                    "households": len(held),
                    "share": len(held) / len(period),
                    "total_sales": held["cents"].sum() / 100,
                    "sales_share": held["cents"].sum() / period["cents"].sum(),
                    "is_latest": end == window[1],
                }
            )
    return pd.DataFrame(rows)


def _segment_cells(history: pd.DataFrame, window: Window) -> pd.DataFrame:
    today = history[history["period_end"] == window[1]]
    sales = today["total_sales"].sum()
    rows = []
    for r_score in range(1, 6):
        for f_score in range(1, 6):
            held = today[(today["r_score"] == r_score) & (today["f_score"] == f_score)]
            bought = held["total_sales"].sum()
            rows.append(
                {
                    "r_score": r_score,
                    "f_score": f_score,
                    "households": len(held),
                    "share": len(held) / len(today),
                    "total_sales": round(bought, 2),
                    "sales_share": bought / sales,
                }
            )
    return pd.DataFrame(rows)


def _segment_moves(history: pd.DataFrame) -> pd.DataFrame:
    moved = history[history["period_end"] > history["period_end"].min()]
    moved = moved.assign(
        from_segment=moved["previous_segment"].fillna("none"),
        to_segment=moved["segment"],
        cents=(moved["total_sales"] * 100).round().astype("int64"),
    )
    by = ["period_end", "period_end_date", "from_segment", "to_segment"]
    moves = moved.groupby(by).agg(households=("cents", "size"), total_sales=("cents", "sum"))
    moves["total_sales"] /= 100
    return moves.reset_index()


def _daily_spend(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    section = lines["product_id"].map(products.set_index("product_id")["section"])
    spend = lines.assign(section=section).pivot_table(
        index=["day", "household_key"],
        columns="section",
        values="cents",
        aggfunc="sum",
        fill_value=0,
    )
    spend = spend.reindex(columns=SECTIONS, fill_value=0)
    spend["total_sales"] = spend.sum(axis=1)
    return (spend / 100).reset_index().rename_axis(columns=None)


def _summary(
    rfm: pd.DataFrame, daily_spend: pd.DataFrame, demographics: pd.DataFrame
) -> pd.DataFrame:
    size = demographics["household_size_desc"]
    kind = demographics["hh_comp_desc"]
    described = pd.DataFrame(
        {
            "household_key": demographics["household_key"],
            "age_45_plus": demographics["age_desc"].isin(["45-54", "55-64", "65+"]),
            "income_50K_plus": demographics["income_desc"].isin(HIGH_INCOMES),
            "single_couple_family": size.map({"1": 1, "2": 2, "3": 3, "4": 3, "5+": 3}),
            "has_kids": kind.isin(["1 Adult Kids", "2 Adults Kids"]) | size.isin(["3", "4", "5+"]),
            "single": kind.isin(["Single Female", "Single Male"]) | (size == "1"),
            "couple": kind == "2 Adults No Kids",
        }
    )
    scores = rfm[["household_key", "r_score", "f_score", "m_score", "rfm_score", "rfm_bins"]]
    cents = (daily_spend[[*SECTIONS, "total_sales"]] * 100).round().astype("int64")
    spend = (cents.groupby(daily_spend["household_key"]).sum() / 100).reset_index()
    summary = described.merge(scores, on="household_key").merge(spend, on="household_key")
    summary = summary.sort_values("household_key", ignore_index=True)
    summary.insert(0, "index", range(len(summary)))
    return summary


def _weekly_sales(lines: pd.DataFrame) -> pd.DataFrame:
    weekly = lines.groupby(["household_key", "week_no"]).agg(
        baskets=("basket_id", "nunique"),
        lines=("basket_id", "size"),
        quantity=("quantity", "sum"),
        total_sales=("cents", "sum"),
    )
    weekly["total_sales"] /= 100
    return weekly.reset_index()


def _daily_campaign_sales(lines: pd.DataFrame, coupon: pd.DataFrame) -> pd.DataFrame:
    couponed = coupon[["campaign", "product_id"]].drop_duplicates()
    daily = lines.merge(couponed, on="product_id").groupby(["day", "campaign"])
    sales = daily.agg(
        lines=("cents", "size"), quantity=("quantity", "sum"), total_sales=("cents", "sum")
    )
    sales["total_sales"] /= 100
    return sales.reset_index()


def _campaign_summary(
    raw: Mapping[str, pd.DataFrame], lines: pd.DataFrame, daily_sales: pd.DataFrame
) -> pd.DataFrame:
    first_data_day, last_data_day = lines["day"].min(), lines["day"].max()
    couponed = raw["coupon"][["campaign", "product_id"]].drop_duplicates()
    rows = []
    for campaign in raw["campaign_desc"].itertuples():
        first = max(campaign.start_day, first_data_day)
        last = min(campaign.end_day, last_data_day)
        duration = max(last - first + 1, 0)
        before = min(duration, first - first_data_day) if duration else 0
        after = min(duration, last_data_day - last) if duration else 0
        sales = daily_sales[daily_sales["campaign"] == campaign.campaign].set_index("day")
        cents = (sales["total_sales"] * 100).round().astype("int64").sort_index()
        targets = raw["campaign_table"]
        redemptions = raw["coupon_redempt"]
        redeemed = redemptions[redemptions["campaign"] == campaign.campaign]
        rows.append(
            {
                "campaign": campaign.campaign,
                "campaign_type": campaign.description,
                "start_day": campaign.start_day,
                "end_day": campaign.end_day,
                "first_day": first if duration else None,
                "last_day": last if duration else None,
                "duration_days": duration,
                "days_before": before,
                "days_after": after,
                "products": (couponed["campaign"] == campaign.campaign).sum(),
                "sales_before": cents.loc[first - before : first - 1].sum() / 100,
                "sales_during": cents.loc[first:last].sum() / 100 if duration else 0.0,
                "sales_after": cents.loc[last + 1 : last + after].sum() / 100,
                "households_targeted": targets.loc[
                    targets["campaign"] == campaign.campaign, "household_key"
                ].nunique(),
                "households_redeeming": redeemed["household_key"].nunique(),
                "redemptions": len(redeemed),
            }
        )
    return pd.DataFrame(rows)


def _campaign_response(raw: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    pair = ["household_key", "campaign"]
    targeted = raw["campaign_table"][pair].drop_duplicates().assign(is_targeted=True)
    redeemed = raw["coupon_redempt"].groupby(pair, as_index=False)
    redeemed = redeemed.agg(
        redemptions=("coupon_upc", "size"),
        coupons_redeemed=("coupon_upc", "nunique"),
        first_redemption_day=("day", "min"),
    )
    campaigns = raw["campaign_desc"].rename(columns={"description": "campaign_type"})
    response = targeted.merge(redeemed, on=pair, how="outer").merge(campaigns, on="campaign")
    response["has_redeemed"] = response["first_redemption_day"].notna()
    response["is_targeted"] = response["is_targeted"].notna()
    response["days_to_redeem"] = response["first_redemption_day"] - response["start_day"]
    counts = ["redemptions", "coupons_redeemed"]
    response[counts] = response[counts].fillna(0)
    return response


def _campaign_segments(
    raw: Mapping[str, pd.DataFrame],
    lines: pd.DataFrame,
    history: pd.DataFrame,
    summary: pd.DataFrame,
    segments: pd.DataFrame,
) -> pd.DataFrame:
    places = dict(zip(segments["segment"], segments["position"], strict=True))
    places["none"] = len(segments) + 1
    rows = []
    for campaign in summary.itertuples():
        sent, redeemed, couponed = (
            set(raw[name].loc[raw[name]["campaign"] == campaign.campaign, column])
            for name, column in (
                ("campaign_table", "household_key"),
                ("coupon_redempt", "household_key"),
                ("coupon", "product_id"),
            )
        )
        # The last four weeks that ended before the first day.
        past = history[history["period_end"] < campaign.start_day].sort_values("period_end")
        known = past.groupby("household_key")["segment"].last()
        first, last = campaign.first_day, campaign.last_day
        stretches = {
            "before": (first - campaign.days_before, first - 1),
            "during": (first, last),
            "after": (last + 1, last + campaign.days_after),
        }
        bought = lines[lines["product_id"].isin(couponed)]
        cents = {
            name: bought[bought["day"].between(*days)].groupby("household_key")["cents"].sum()
            for name, days in stretches.items()
        }
        for segment, place in places.items():
            held = [key for key in sent if known.get(key, "none") == segment]
            if not held:
                continue
            row = {
                "campaign": campaign.campaign,
                "position": place,
                "segment": segment,
                "households_targeted": len(held),
                "households_redeeming": len(redeemed.intersection(held)),
                "redemption_rate": len(redeemed.intersection(held)) / len(held),
            }
            for name, by_household in cents.items():
                total = sum(int(by_household.get(key, 0)) for key in held)
                row[f"sales_{name}"] = total / 100
                # Halves of a cent go up.
                row[f"mean_sales_{name}"] = (2 * total + len(held)) // (2 * len(held)) / 100
            rows.append(row)
    return pd.DataFrame(rows)


def _promotion_effect(
    causal: pd.DataFrame, lines: pd.DataFrame, products: pd.DataFrame
) -> pd.DataFrame:
    week = ["product_id", "store_id", "week_no"]
    flags = pd.DataFrame(
        {
            **{name: causal[name] for name in week},
            "display": causal["display"].str.strip() != "0",
            "mailer": causal["mailer"].str.strip() != "0",
        }
    )
    flags = flags[flags["week_no"].isin(lines["week_no"].unique())]
    promoted = flags.groupby(week, as_index=False).max()
    covered = promoted["week_no"].unique()
    sold = lines.groupby(week, as_index=False).agg(
        units=("quantity", "sum"), cents=("cents", "sum")
    )
    sold = sold[sold["week_no"].isin(covered)]
    effects = [
        _effect_of(kind, promoted[promoted[kind]], sold, len(covered), products)
        for kind in ("display", "mailer")
    ]
    return pd.concat(effects, ignore_index=True)


def _effect_of(
    kind: str, promoted: pd.DataFrame, sold: pd.DataFrame, weeks: int, products: pd.DataFrame
) -> pd.DataFrame:
    week, pair = ["product_id", "store_id", "week_no"], ["product_id", "store_id"]
    pairs = promoted.groupby(pair, as_index=False).agg(weeks_with=("week_no", "size"))
    inside = promoted[week].merge(sold, on=week).groupby(pair, as_index=False)
    inside = inside[["units", "cents"]].sum()
    overall = sold.groupby(pair, as_index=False)[["units", "cents"]].sum()
    pairs = pairs.merge(inside, on=pair, how="left").merge(
        overall, on=pair, how="left", suffixes=("_with", "_all")
    )
    commodity = pairs["product_id"].map(products.set_index("product_id")["commodity"])
    totals = pairs.fillna(0).groupby(commodity.fillna("unknown")).sum()
    pair_count = pairs.groupby(commodity.fillna("unknown")).size()
    without = pair_count * weeks - totals["weeks_with"]
    units_without = totals["units_all"] - totals["units_with"]
    cents_without = totals["cents_all"] - totals["cents_with"]
    nothing = np.where(units_without == 0, np.nan, 1.0)
    nothing_sold = np.where(cents_without == 0, np.nan, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_unit = (totals["units_with"] / totals["weeks_with"]) / (units_without / without)
        per_cent = (totals["cents_with"] / totals["weeks_with"]) / (cents_without / without)
    return pd.DataFrame(
        {
            "commodity": totals.index,
            "support": kind,
            "product_store_weeks_with": totals["weeks_with"].to_numpy(),
            "units_with": totals["units_with"].to_numpy(),
            "sales_with": totals["cents_with"].to_numpy() / 100,
            "product_store_weeks_without": without.to_numpy(),
            "units_without": units_without.to_numpy(),
            "sales_without": cents_without.to_numpy() / 100,
            "units_ratio": (per_unit * nothing).to_numpy(),
            "sales_ratio": (per_cent * nothing_sold).to_numpy(),
        }
    )


def _associations(lines: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    is_sold = products["department"].notna() & products["commodity"].notna()
    is_sold &= ~products["department"].isin(NOT_MERCHANDISE)
    is_sold &= ~products["commodity"].isin(NOT_COMMODITIES) & (products["sub_commodity"] != FUEL)
    commodity = products[is_sold].set_index("product_id")["commodity"]
    held = pd.DataFrame(
        {"basket_id": lines["basket_id"], "commodity": lines["product_id"].map(commodity)}
    )
    held = held.dropna().drop_duplicates()
    sizes, total = held.groupby("commodity").size(), held["basket_id"].nunique()
    codes, names = pd.factorize(held["commodity"])
    baskets, _ = pd.factorize(held["basket_id"])
    is_in = np.zeros((total, len(names)), dtype="float32")
    is_in[baskets, codes] = 1
    together = (is_in.T @ is_in).astype("int64")
    np.fill_diagonal(together, 0)
    one, other = np.nonzero(together >= LEAST_BASKETS)
    both = together[one, other]
    one_size, other_size = sizes[names[one]].to_numpy(), sizes[names[other]].to_numpy()
    confidence, share = both / one_size, other_size / total
    # In whole numbers, as 1 - 0.9999999 keeps few digits.
    alone = one_size - both
    with np.errstate(divide="ignore"):
        conviction = ((total - other_size) * one_size) / (total * alone)
    return pd.DataFrame(
        {
            "commodity": names[one],
            "associated_commodity": names[other],
            "baskets": both,
            "commodity_baskets": one_size,
            "associated_baskets": other_size,
            "all_baskets": total,
            "support": both / total,
            "confidence": confidence,
            "lift": confidence / share,
            "leverage": (both * total - one_size * other_size) / total**2,
            "conviction": np.where(alone == 0, np.nan, conviction),
        }
    )
