"""Baskets and orders that came in live are as good as those of files: the marts are the same."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from orchestration.build import build
from orchestration.load.run import load
from orchestration.release.publish import release
from pollux.runtime.serving import open_serving_store
from tests.models.test_marts_agree import LEARNED, assert_equal, released
from tests.support.installations import Prepared
from tests.support.live_events import live_events, make_events_schema, take_in

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

# Of what is kept back; the study's window ends with day 708.
FIRST_LIVE_DAY = 703
NEEDED = ["household_key", "BASKET_ID", "DAY", "PRODUCT_ID", "QUANTITY", "SALES_VALUE"]
BASKET, NOT_SENT = ["household_key", "basket_id"], ["week_no"]


def hold_back_baskets(folder: Path) -> pd.DataFrame:
    """Takes the last days' baskets out of the file; returns their lines, all of them whole."""
    path = folder / "transaction_data.csv"
    lines = pd.read_csv(path, dtype="string")
    # A purchase has no week that could contradict its day.
    weeks = lines.groupby("DAY")["WEEK_NO"].transform(lambda week: week.mode().get(0))
    is_fit = lines[NEEDED].notna().all(axis=1) & (lines["WEEK_NO"].fillna(weeks) == weeks)
    is_whole = is_fit.groupby(lines["BASKET_ID"], dropna=False).transform("all")
    is_late = (pd.to_numeric(lines["DAY"]) >= FIRST_LIVE_DAY) & is_whole
    lines[~is_late].to_csv(path, index=False)
    return lines[is_late].rename(columns=str.lower).drop(columns=NOT_SENT)


def hold_back_orders(folder: Path) -> pd.DataFrame:
    """Takes some orders out of the files; returns its lines with the order's columns."""
    orders = pd.read_csv(folder / "orders.csv", dtype="string")
    lines = pd.read_csv(folder / "order_lines.csv", dtype="string")
    late = orders[pd.to_numeric(orders["order_id"]) % 50 == 0]
    is_late = lines["order_id"].isin(late["order_id"])
    orders[~orders["order_id"].isin(late["order_id"])].to_csv(folder / "orders.csv", index=False)
    lines[~is_late].to_csv(folder / "order_lines.csv", index=False)
    found = lines[is_late].merge(late, on="order_id").rename(columns={"ordered_at": "event_at"})
    # The shop of the sample is in Berlin.
    found["event_at"] += " Europe/Berlin"
    return found.drop(columns="line_number")


def events_of(lines: pd.DataFrame, key: list[str]) -> Iterable[list[dict[str, Any]]]:
    """The rows of an event for each basket or order."""
    for _, group in lines.groupby(key, sort=True):
        event = {"event_key": uuid4()}
        rows = group.astype(object).where(group.notna(), None).to_dict("records")
        yield [event | {"line": line} | row for line, row in enumerate(rows, start=1)]


def test_marts_are_the_same_whether_purchases_came_in_files_or_live(
    prepared: Prepared, short_tmp: Path
) -> None:
    settings = prepared.empty(short_tmp / "live_purchases")
    folders = {name: prepared.samples()[name] for name in ("household", "store")}
    changed = {name: short_tmp / f"held_back_{name}" for name in folders}
    for name, folder in folders.items():
        shutil.copytree(folder, changed[name])
    of_file = pd.read_csv(changed["household"] / "transaction_data.csv", dtype="string")
    baskets = list(events_of(hold_back_baskets(changed["household"]), BASKET))
    orders = list(events_of(hold_back_orders(changed["store"]), ["order_id"]))
    assert len(baskets) > 50
    assert len(orders) > 20
    with open_serving_store(settings).connect() as connection:
        make_events_schema(connection)
        take_in(connection, "decisions", live_events(prepared.samples())["decisions"])
        # What a later event says differently, and what a file has, too.
        for wrong in baskets[:20]:
            mistake = {"event_key": uuid4(), "sales_value": "9999.99", "product_id": "7"}
            take_in(connection, "basket_lines", [wrong[0] | mistake])
        first = of_file.iloc[:1].rename(columns=str.lower).drop(columns=NOT_SENT)
        for again in events_of(first.assign(sales_value="9999.99"), BASKET):
            take_in(connection, "basket_lines", again)
        for table, events in (("basket_lines", baskets), ("order_lines", orders)):
            for rows in events:
                take_in(connection, table, rows)
    for name, folder in changed.items():
        load(settings, domain=name, from_=folder, sample=True)
    build(settings, sorted(changed)).raise_if_failed()
    whole = prepared.everything()
    for name in changed:
        release(settings, name)
        expected = released(whole, name)
        found = released(settings, name)
        assert found.keys() == expected.keys()
        for mart in found.keys() - LEARNED:
            table, rows = found[mart]
            assert_equal(table, rows, expected[mart][1])
