"""The household marts in Polars, lazy and streaming, as a user would write them today.

What the speed of the SQL is compared with; the rules are those of `tests.oracles.household`.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from tests.oracles.household import (
    FIFTHS,
    FUEL,
    HIGH_INCOMES,
    LEAST_BASKETS,
    NEEDED,
    NOT_COMMODITIES,
    NOT_MERCHANDISE,
    OFTEN,
    PERIOD,
    RECENCY_DAYS,
    SECTIONS,
    STUDY,
)

Marts = dict[str, pl.LazyFrame]

DAY_ZERO = pl.date(2004, 3, 22)
WEEK, PAIR = ["product_id", "store_id", "week_no"], ["product_id", "store_id"]
FIRST_DAY, LAST_DAY, FIRST_WEEK, LAST_WEEK = STUDY


def household_marts(landing: Path, seeds: Path) -> dict[str, pl.DataFrame]:
    """All marts of the household domain but what is learned, from the landing zone's Parquet.

    Money in the results is float dollars, exact to the cent.
    """
    raw = {folder.name: pl.scan_parquet(folder / "*.parquet") for folder in landing.iterdir()}
    # They have a few hundred rows, or are read by several marts.
    (products,) = _collect(
        [_products(raw["product"], pl.scan_csv(seeds / "commodity_sections.csv"))]
    )
    judged = _judged(raw["transaction_data"], products.lazy())
    lines, dropped = _collect([_kept(judged), _dropped(judged)])
    segments = pl.read_csv(seeds / "segments.csv").lazy()
    grid = pl.read_csv(seeds / "segment_grid.csv").lazy()
    (history,) = _collect([_segment_history(lines.lazy(), grid)])
    (sold,) = _collect([_couponed_sales(raw["coupon"], lines.lazy())])
    (campaigns,) = _collect([_campaigns(raw["campaign_desc"], lines.lazy())])
    made = _marts(raw, products.lazy(), lines.lazy(), history.lazy(), sold, campaigns, segments)
    marts = dict(zip(made, _collect(_dated(mart) for mart in made.values()), strict=True))
    return marts | {"household_cleaning_report": _outcomes(dropped, lines.height)}


def _collect(frames: Iterable[pl.LazyFrame]) -> list[pl.DataFrame]:
    return pl.collect_all(frames, engine="streaming")


def _marts(
    raw: Marts,
    products: pl.LazyFrame,
    lines: pl.LazyFrame,
    history: pl.LazyFrame,
    sold: pl.DataFrame,
    campaigns: pl.DataFrame,
    segments: pl.LazyFrame,
) -> Marts:
    rfm = _rfm(lines, raw["hh_demographic"])
    spend = _daily_spend(lines)
    daily = _daily_campaign_sales(sold.lazy())
    return {
        "products": products,
        "commodities": _commodities(lines, products),
        "household_rfm": rfm,
        "household_segments": _segments(history),
        "household_segment_history": history.drop("first_day"),
        "segment_sizes": _segment_sizes(history, segments),
        "segment_cells": _segment_cells(history),
        "segment_moves": _segment_moves(history),
        "daily_hh_spend": spend,
        "hh_summary": _summary(rfm, spend, raw["hh_demographic"]),
        "household_weekly_sales": _weekly_sales(lines),
        "daily_campaign_sales": daily,
        "campaign_summary": _campaign_summary(raw, campaigns.lazy(), daily),
        "campaign_response": _campaign_response(raw),
        "campaign_segments": _campaign_segments(
            raw, history, sold.lazy(), campaigns.lazy(), segments
        ),
        "promotion_effect": _promotion_effect(raw["causal_data"], lines, products),
        "commodity_associations": _associations(lines, products),
    }


def _dated(mart: pl.LazyFrame) -> pl.LazyFrame:
    """A mart with the date of every day beside it."""
    days = [name for name in mart.collect_schema().names() if f"_{name}".endswith("_day")]
    return mart.with_columns(
        (DAY_ZERO + pl.duration(days=pl.col(name))).alias(f"{name.removesuffix('day')}date")
        for name in days
        if name != "baskets_per_day"
    )


def _dollars(*names: str) -> list[pl.Expr]:
    return [pl.col(name) / 100 for name in names]


def _text(name: str) -> pl.Expr:
    trimmed = pl.col(name).str.strip_chars()
    return pl.when(trimmed != "").then(trimmed)


def _products(product: pl.LazyFrame, sections: pl.LazyFrame) -> pl.LazyFrame:
    commodity, section = sections.collect_schema().names()
    return (
        product.select(
            "product_id",
            "manufacturer",
            department=_text("department"),
            brand=_text("brand"),
            commodity=_text("commodity_desc"),
            sub_commodity=_text("sub_commodity_desc"),
            size=_text("curr_size_of_product"),
        )
        .join(sections, left_on="commodity", right_on=commodity, how="left")
        .rename({section: "section"})
        .with_columns(pl.col("section").fill_null("misc"))
    )


def _judged(transactions: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    """Every line with the first rule that drops it; null where all but the last are kept."""
    week = pl.col("week_no").fill_null((pl.col("day") + 8) // 7)
    named = products.select("product_id", "sub_commodity", "commodity", "section", is_known=True)
    return (
        transactions.select(*NEEDED, "store_id", week_no=week)
        .join(named, on="product_id", how="left")
        .with_columns(
            (pl.col("sales_value").cast(pl.Float64) * 100).round().cast(pl.Int64).alias("cents"),
            pl.when(pl.any_horizontal(pl.col(NEEDED).is_null()))
            .then(pl.lit("blank field"))
            .when((pl.col("quantity") <= 0) | (pl.col("sales_value") <= 0))
            .then(pl.lit("nothing bought or paid"))
            .when(~pl.col("day").is_between(FIRST_DAY, LAST_DAY))
            .then(pl.lit("outside the days in scope"))
            .when(~pl.col("week_no").is_between(FIRST_WEEK, LAST_WEEK))
            .then(pl.lit("outside the weeks in scope"))
            .when(pl.col("is_known").is_null())
            .then(pl.lit("unknown product"))
            .when(pl.col("sub_commodity") == FUEL)
            .then(pl.lit("fuel"))
            .alias("dropped"),
        )
    )


def _kept(judged: pl.LazyFrame) -> pl.LazyFrame:
    lines = judged.filter(pl.col("dropped").is_null()).select(
        *("household_key", "basket_id", "day", "product_id", "store_id", "week_no", "quantity"),
        *("cents", "commodity", "section"),
    )
    days = lines.group_by("household_key").agg(pl.col("day").n_unique())
    return lines.join(days.filter(pl.col("day") > 1), on="household_key", how="semi")


def _dropped(judged: pl.LazyFrame) -> pl.LazyFrame:
    return judged.group_by("dropped").len("lines")


def _outcomes(dropped: pl.DataFrame, kept: int) -> pl.DataFrame:
    """How many lines each rule dropped, one after the other."""
    counts = dict(dropped.iter_rows())
    reasons = ["blank field", "nothing bought or paid", "outside the days in scope"]
    reasons += ["outside the weeks in scope", "unknown product", "fuel"]
    rows = {reason: counts.get(reason, 0) for reason in reasons}
    rows["household of one day"] = counts.get(None, 0) - kept
    rows["kept"] = kept
    return pl.DataFrame({"outcome": list(rows), "lines": list(rows.values())})


def _fifth(values: pl.Expr, by: str | None = None) -> pl.Expr:
    """1 to 5, by the quintiles of all values, or of those alike in `by`."""
    bounds = [values.quantile(share, "linear") for share in (0.2, 0.4, 0.6, 0.8)]
    if by is not None:
        bounds = [bound.over(by) for bound in bounds]
    return 1 + pl.sum_horizontal((values > bound).cast(pl.Int64) for bound in bounds)


def _per_day() -> pl.Expr:
    return pl.col("baskets") / (pl.col("last_day") - pl.col("first_day") + 1)


def _rfm(lines: pl.LazyFrame, demographics: pl.LazyFrame) -> pl.LazyFrame:
    bounds = [LAST_DAY - days for days in RECENCY_DAYS]
    described = demographics.select("household_key", has_demographics=True).unique()
    return (
        lines.group_by("household_key")
        .agg(
            first_day=pl.col("day").min(),
            last_day=pl.col("day").max(),
            baskets=pl.col("basket_id").n_unique(),
            total_sales=pl.col("cents").sum() / 100,
        )
        .with_columns(baskets_per_day=_per_day())
        .with_columns(
            r_score=1 + pl.sum_horizontal((pl.col("last_day") > b).cast(pl.Int64) for b in bounds),
            f_score=_fifth(pl.col("baskets_per_day")),
            m_score=_fifth(pl.col("total_sales").log()),
        )
        .with_columns(rfm_score=pl.sum_horizontal("r_score", "f_score", "m_score"))
        .with_columns(
            rfm_bins=1
            + pl.sum_horizontal((pl.col("rfm_score") > b).cast(pl.Int64) for b in (5, 8, 12, 14))
        )
        .join(described, on="household_key", how="left")
        .with_columns(pl.col("has_demographics").fill_null(value=False))
    )


def _segment_history(lines: pl.LazyFrame, grid: pl.LazyFrame) -> pl.LazyFrame:
    """Every period anew from all visits up to its end."""
    ends = list(range(LAST_DAY, FIRST_DAY + PERIOD - 2, -PERIOD))
    visits = lines.group_by("household_key", "basket_id", "day").agg(pl.col("cents").sum())
    away = pl.col("period_end") - pl.col("last_day")
    r_score, f_score, m_score, segment = grid.collect_schema().names()
    scores = grid.rename(
        {r_score: "r_score", f_score: "f_score", m_score: "m_score", segment: "segment"}
    )
    was = pl.col("segment").shift(1).over("household_key", order_by="period_end")
    is_new = pl.col("segment").ne_missing(pl.col("previous_segment"))
    return (
        visits.join(pl.LazyFrame({"period_end": ends}), how="cross")
        .filter(pl.col("day") <= pl.col("period_end"))
        .group_by("household_key", "period_end")
        .agg(
            first_day=pl.col("day").min(),
            last_day=pl.col("day").max(),
            baskets=pl.col("basket_id").n_unique(),
            total_sales=pl.col("cents").sum() / 100,
        )
        .filter(pl.col("first_day") < pl.col("last_day"))
        .with_columns(baskets_per_day=_per_day())
        .with_columns(
            r_score=5 - pl.sum_horizontal((away >= days).cast(pl.Int64) for days in RECENCY_DAYS),
            f_score=_fifth(pl.col("baskets_per_day"), "period_end"),
            m_score=_fifth(pl.col("total_sales").log(), "period_end"),
        )
        .join(scores, on=["r_score", "f_score", "m_score"])
        .with_columns(previous_segment=was)
        .with_columns(
            since_day=pl.when(is_new)
            .then("period_end")
            .forward_fill()
            .over("household_key", order_by="period_end"),
            period_end_date=DAY_ZERO + pl.duration(days="period_end"),
        )
    )


def _segments(history: pl.LazyFrame) -> pl.LazyFrame:
    days = pl.col("days_since_visit")
    ago = (
        pl.when(days == 0)
        .then(pl.lit("on the last day"))
        .when(days == 1)
        .then(pl.lit("1 day before the end"))
        .otherwise(pl.concat_str(days, pl.lit(" days before the end")))
    )
    # Not by pl.format, at which Polars 2.1 panics now and then.
    why = pl.concat_str(
        pl.lit("last visit "),
        ago,
        pl.lit(", "),
        pl.col("f_score").replace_strict(OFTEN, return_dtype=pl.String),
        pl.lit(", sales in the "),
        pl.col("m_score").replace_strict(FIFTHS, return_dtype=pl.String),
        pl.lit(" fifth"),
    )
    return (
        history.filter(pl.col("period_end") == LAST_DAY)
        .with_columns(days_since_visit=LAST_DAY - pl.col("last_day"))
        .select(
            *("household_key", "segment", "since_day", "r_score", "f_score", "m_score"),
            *("last_day", "days_since_visit", "baskets_per_day", "total_sales"),
            why=why,
        )
    )


def _with_shares(counted: pl.LazyFrame, by: str | None) -> pl.LazyFrame:
    """Counts of households and cents with their shares in all, or in those alike in `by`."""
    households, cents = pl.col("households").sum(), pl.col("cents").sum()
    if by is not None:
        households, cents = households.over(by), cents.over(by)
    return counted.with_columns(
        share=pl.col("households") / households,
        sales_share=pl.col("cents") / cents,
        total_sales=pl.col("cents") / 100,
    ).drop("cents")


def _counted(history: pl.LazyFrame, *by: str) -> pl.LazyFrame:
    cents = (pl.col("total_sales") * 100).round().cast(pl.Int64).sum()
    return history.group_by(by).agg(households=pl.len(), cents=cents)


def _segment_sizes(history: pl.LazyFrame, segments: pl.LazyFrame) -> pl.LazyFrame:
    periods = history.select("period_end", "period_end_date").unique()
    names = segments.select("position", "segment", "meaning")
    counted = _counted(history, "period_end", "segment")
    sizes = periods.join(names, how="cross").join(counted, on=["period_end", "segment"], how="left")
    sizes = sizes.with_columns(pl.col("households", "cents").fill_null(0))
    return _with_shares(sizes, "period_end").with_columns(
        is_latest=pl.col("period_end") == LAST_DAY
    )


def _segment_cells(history: pl.LazyFrame) -> pl.LazyFrame:
    scores = pl.LazyFrame({"score": range(1, 6)})
    cells = scores.select(r_score="score").join(scores.select(f_score="score"), how="cross")
    today = _counted(history.filter(pl.col("period_end") == LAST_DAY), "r_score", "f_score")
    cells = cells.join(today, on=["r_score", "f_score"], how="left")
    return _with_shares(cells.with_columns(pl.col("households", "cents").fill_null(0)), None)


def _segment_moves(history: pl.LazyFrame) -> pl.LazyFrame:
    moved = history.filter(pl.col("period_end") > pl.col("period_end").min()).with_columns(
        from_segment=pl.col("previous_segment").fill_null("none"), to_segment="segment"
    )
    by = ["period_end", "period_end_date", "from_segment", "to_segment"]
    return _counted(moved, *by).with_columns(total_sales=pl.col("cents") / 100).drop("cents")


def _daily_spend(lines: pl.LazyFrame) -> pl.LazyFrame:
    cents = pl.col("cents")
    sums = {name: cents.filter(pl.col("section") == name).sum() for name in SECTIONS}
    spend = lines.group_by("day", "household_key").agg(**sums, total_sales=cents.sum())
    return spend.with_columns(_dollars(*SECTIONS, "total_sales"))


def _summary(rfm: pl.LazyFrame, spend: pl.LazyFrame, demographics: pl.LazyFrame) -> pl.LazyFrame:
    size, kind = pl.col("household_size_desc"), pl.col("hh_comp_desc")
    described = demographics.select(
        "household_key",
        age_45_plus=pl.col("age_desc").is_in(["45-54", "55-64", "65+"]),
        income_50K_plus=pl.col("income_desc").is_in(HIGH_INCOMES),
        single_couple_family=size.replace_strict(
            {"1": 1, "2": 2, "3": 3, "4": 3, "5+": 3}, default=None
        ),
        has_kids=kind.is_in(["1 Adult Kids", "2 Adults Kids"]) | size.is_in(["3", "4", "5+"]),
        single=kind.is_in(["Single Female", "Single Male"]) | (size == "1"),
        couple=kind == "2 Adults No Kids",
    )
    scores = rfm.select("household_key", "r_score", "f_score", "m_score", "rfm_score", "rfm_bins")
    cents = (pl.col(*SECTIONS, "total_sales") * 100).round().cast(pl.Int64)
    sums = spend.group_by("household_key").agg(cents.sum())
    return (
        described.join(scores, on="household_key")
        .join(sums.with_columns(_dollars(*SECTIONS, "total_sales")), on="household_key")
        .sort("household_key")
        .with_row_index()
    )


def _weekly_sales(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.group_by("household_key", "week_no").agg(
        baskets=pl.col("basket_id").n_unique(),
        lines=pl.len(),
        quantity=pl.col("quantity").sum(),
        total_sales=pl.col("cents").sum() / 100,
    )


def _couponed_sales(coupon: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    """What each household bought of a campaign's products, by day."""
    couponed = coupon.select("campaign", "product_id").unique()
    return (
        lines.join(couponed, on="product_id")
        .group_by("day", "campaign", "household_key")
        .agg(lines=pl.len(), quantity=pl.col("quantity").sum(), cents=pl.col("cents").sum())
    )


def _daily_campaign_sales(sold: pl.LazyFrame) -> pl.LazyFrame:
    return sold.group_by("day", "campaign").agg(
        pl.col("lines").sum(),
        pl.col("quantity").sum(),
        total_sales=pl.col("cents").sum() / 100,
    )


def _campaigns(campaign_desc: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    """Each campaign with its days in the data, and the stretches before and after."""
    data = lines.select(data_first=pl.col("day").min(), data_last=pl.col("day").max())
    duration = pl.col("duration_days")
    before = pl.min_horizontal(duration, pl.col("first_day") - pl.col("data_first"))
    after = pl.min_horizontal(duration, pl.col("data_last") - pl.col("last_day"))
    is_in = duration > 0
    return (
        campaign_desc.select("campaign", "start_day", "end_day", campaign_type="description")
        .join(data, how="cross")
        .with_columns(
            first_day=pl.max_horizontal("start_day", "data_first"),
            last_day=pl.min_horizontal("end_day", "data_last"),
        )
        .with_columns(
            duration_days=pl.max_horizontal(pl.col("last_day") - pl.col("first_day") + 1, 0)
        )
        .with_columns(
            days_before=pl.when(is_in).then(before).otherwise(0),
            days_after=pl.when(is_in).then(after).otherwise(0),
            first_day=pl.when(is_in).then("first_day"),
            last_day=pl.when(is_in).then("last_day"),
        )
        .drop("data_first", "data_last")
    )


def _cents_by_stretch() -> dict[str, pl.Expr]:
    """Sums of cents before, during and after a campaign."""
    day, first, last = pl.col("day"), pl.col("first_day"), pl.col("last_day")
    stretches = {
        "sales_before": day.is_between(first - pl.col("days_before"), first - 1),
        "sales_during": day.is_between(first, last),
        "sales_after": day.is_between(last + 1, last + pl.col("days_after")),
    }
    return {name: pl.col("cents").filter(is_in).sum() for name, is_in in stretches.items()}


def _campaign_summary(raw: Marts, campaigns: pl.LazyFrame, daily: pl.LazyFrame) -> pl.LazyFrame:
    cents = (pl.col("total_sales") * 100).round().cast(pl.Int64).alias("cents")
    sales = (
        daily.select("day", "campaign", cents)
        .join(campaigns, on="campaign")
        .group_by("campaign")
        .agg(**_cents_by_stretch())
    )
    products = raw["coupon"].group_by("campaign").agg(products=pl.col("product_id").n_unique())
    household = pl.col("household_key").n_unique()
    targeted = raw["campaign_table"].group_by("campaign").agg(households_targeted=household)
    redeemed = raw["coupon_redempt"].group_by("campaign")
    redeemed = redeemed.agg(households_redeeming=household, redemptions=pl.len())
    summary = campaigns
    for counted in (products, sales, targeted, redeemed):
        summary = summary.join(counted, on="campaign", how="left")
    names = ["products", "households_targeted", "households_redeeming", "redemptions"]
    stretches = ["sales_before", "sales_during", "sales_after"]
    summary = summary.with_columns(pl.col(*names, *stretches).fill_null(0))
    return summary.with_columns(_dollars(*stretches))


def _campaign_response(raw: Marts) -> pl.LazyFrame:
    pair = ["household_key", "campaign"]
    targeted = raw["campaign_table"].select(pair).unique().with_columns(is_targeted=True)
    redeemed = (
        raw["coupon_redempt"]
        .group_by(pair)
        .agg(
            redemptions=pl.len(),
            coupons_redeemed=pl.col("coupon_upc").n_unique(),
            first_redemption_day=pl.col("day").min(),
        )
    )
    campaigns = raw["campaign_desc"].rename({"description": "campaign_type"})
    return (
        targeted.join(redeemed, on=pair, how="full", coalesce=True)
        .join(campaigns, on="campaign")
        .with_columns(
            pl.col("is_targeted").fill_null(value=False),
            pl.col("redemptions", "coupons_redeemed").fill_null(0),
            has_redeemed=pl.col("first_redemption_day").is_not_null(),
            days_to_redeem=pl.col("first_redemption_day") - pl.col("start_day"),
        )
    )


def _campaign_segments(
    raw: Marts,
    history: pl.LazyFrame,
    sold: pl.LazyFrame,
    campaigns: pl.LazyFrame,
    segments: pl.LazyFrame,
) -> pl.LazyFrame:
    pair = ["campaign", "household_key"]
    stretches = ["sales_before", "sales_during", "sales_after"]
    known = history.select("household_key", "period_end", "segment").sort("period_end")
    redeemed = raw["coupon_redempt"].select(pair).unique().with_columns(has_redeemed=True)
    bought = sold.join(campaigns, on="campaign").group_by(pair).agg(**_cents_by_stretch())
    targeted = pl.col("households_targeted")
    return (
        raw["campaign_table"]
        .select(pair)
        .unique()
        .join(campaigns.select("campaign", "start_day"), on="campaign")
        .sort("start_day")
        # The last four weeks that ended before the first day.
        .join_asof(
            known,
            left_on="start_day",
            right_on="period_end",
            by="household_key",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .with_columns(pl.col("segment").fill_null("none"))
        .join(redeemed, on=pair, how="left")
        .join(bought, on=pair, how="left")
        .group_by("campaign", "segment")
        .agg(
            pl.col(stretches).sum(),
            households_targeted=pl.len(),
            households_redeeming=pl.col("has_redeemed").count(),
        )
        .join(segments.select("segment", "position"), on="segment", how="left")
        .join(segments.select(places=pl.len() + 1), how="cross")
        .with_columns(
            pl.col("position").fill_null(pl.col("places")),
            redemption_rate=pl.col("households_redeeming") / targeted,
            # Halves of a cent go up.
            **{
                f"mean_{name}": (2 * pl.col(name) + targeted) // (2 * targeted) / 100
                for name in stretches
            },
        )
        .with_columns(_dollars(*stretches))
        .drop("places")
    )


def _promotion_effect(
    causal: pl.LazyFrame, lines: pl.LazyFrame, products: pl.LazyFrame
) -> pl.LazyFrame:
    promoted = (
        causal.select(
            *WEEK,
            display=pl.col("display").str.strip_chars().ne_missing("0"),
            mailer=pl.col("mailer").str.strip_chars().ne_missing("0"),
        )
        .join(lines.select("week_no").unique(), on="week_no", how="semi")
        .group_by(WEEK)
        .agg(pl.col("display", "mailer").max())
    )
    covered = promoted.select("week_no").unique()
    sold = (
        lines.group_by(WEEK)
        .agg(units=pl.col("quantity").sum(), cents=pl.col("cents").sum())
        .join(covered, on="week_no", how="semi")
    )
    named = products.select("product_id", pl.col("commodity").fill_null("unknown"))
    return pl.concat(
        _effect_of(kind, promoted.filter(pl.col(kind)).select(WEEK), sold, covered, named)
        for kind in ("display", "mailer")
    )


def _effect_of(
    kind: str,
    promoted: pl.LazyFrame,
    sold: pl.LazyFrame,
    covered: pl.LazyFrame,
    named: pl.LazyFrame,
) -> pl.LazyFrame:
    inside = promoted.join(sold, on=WEEK).group_by(PAIR)
    inside = inside.agg(units_with=pl.col("units").sum(), cents_with=pl.col("cents").sum())
    overall = sold.group_by(PAIR)
    overall = overall.agg(units_all=pl.col("units").sum(), cents_all=pl.col("cents").sum())
    sums = ["units_with", "cents_with", "units_all", "cents_all"]
    weeks_with, weeks_without = pl.col("weeks_with"), pl.col("weeks_without")

    def ratio(of: str) -> pl.Expr:
        others = pl.col(f"{of}_without")
        found = (pl.col(f"{of}_with") / weeks_with) / (others / weeks_without)
        return pl.when(others != 0).then(found)

    return (
        promoted.group_by(PAIR)
        .agg(weeks_with=pl.len())
        .join(inside, on=PAIR, how="left")
        .join(overall, on=PAIR, how="left")
        .join(named, on="product_id", how="left")
        .group_by(pl.col("commodity").fill_null("unknown"))
        .agg(pl.col("weeks_with", *sums).sum(), pairs=pl.len())
        .join(covered.select(weeks=pl.len()), how="cross")
        .with_columns(
            weeks_without=pl.col("pairs") * pl.col("weeks") - weeks_with.cast(pl.Int64),
            units_without=pl.col("units_all") - pl.col("units_with"),
            cents_without=pl.col("cents_all") - pl.col("cents_with"),
        )
        .select(
            "commodity",
            support=pl.lit(kind),
            product_store_weeks_with="weeks_with",
            units_with="units_with",
            sales_with=pl.col("cents_with") / 100,
            product_store_weeks_without="weeks_without",
            units_without="units_without",
            sales_without=pl.col("cents_without") / 100,
            units_ratio=ratio("units"),
            sales_ratio=ratio("cents"),
        )
    )


def _commodities(lines: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    named = products.filter(pl.col("commodity").is_not_null())
    sold = lines.group_by("commodity").agg(lines=pl.len(), total_sales=pl.col("cents").sum() / 100)
    counted = named.group_by("commodity", "section").agg(products=pl.len())
    return counted.join(sold, on="commodity", how="left").with_columns(
        pl.col("lines", "total_sales").fill_null(0)
    )


def _associations(lines: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    is_sold = pl.col("department").is_not_null() & pl.col("commodity").is_not_null()
    is_sold &= ~pl.col("department").is_in(sorted(NOT_MERCHANDISE))
    is_sold &= ~pl.col("commodity").is_in(sorted(NOT_COMMODITIES))
    is_sold &= pl.col("sub_commodity").ne_missing(FUEL)
    merchandise = products.filter(is_sold).select("product_id")
    held = lines.join(merchandise, on="product_id", how="semi")
    held = held.select("basket_id", "commodity").unique()
    sizes = held.group_by("commodity").agg(size=pl.len().cast(pl.Int64))
    total = held.select(all_baskets=pl.col("basket_id").n_unique().cast(pl.Int64))
    one, other, both = (
        pl.col(name) for name in ("commodity_baskets", "associated_baskets", "baskets")
    )
    all_baskets, alone = pl.col("all_baskets"), one - both
    return (
        held.join(held.rename({"commodity": "associated_commodity"}), on="basket_id")
        .filter(pl.col("commodity") != pl.col("associated_commodity"))
        .group_by("commodity", "associated_commodity")
        .agg(baskets=pl.len().cast(pl.Int64))
        .filter(both >= LEAST_BASKETS)
        .join(sizes.rename({"size": "commodity_baskets"}), on="commodity")
        .join(
            sizes.rename({"commodity": "associated_commodity", "size": "associated_baskets"}),
            on="associated_commodity",
        )
        .join(total, how="cross")
        .with_columns(support=both / all_baskets, confidence=both / one)
        .with_columns(
            lift=pl.col("confidence") / (other / all_baskets),
            leverage=(both * all_baskets - one * other) / all_baskets**2,
            # In whole numbers, as 1 - 0.9999999 keeps few digits.
            conviction=pl.when(alone > 0).then(
                ((all_baskets - other) * one) / (all_baskets * alone)
            ),
        )
    )
