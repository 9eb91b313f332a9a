"""One odd row per column of every file, all in one build: none of them stops a domain.

A blank or impossible value is rejected by the load, judged by a model, or may be null. What becomes
of it stands in the tables here; a column that they do not name takes every value of its type.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from orchestration.build import build
from orchestration.load.declarations import Column, Dataset, read_datasets
from orchestration.load.run import load
from orchestration.release.publish import release
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.support.installations import Prepared

pytestmark = pytest.mark.endurance

FILES = {
    name: dataset
    for (domain, name), dataset in read_datasets(PROJECT_DIR).items()
    if domain in {"customer", "household", "store"}
}
NEEDED = {
    "product": "product_id",
    "hh_demographic": "household_key household_size_desc",
    "campaign_table": "campaign household_key",
    "campaign_desc": "campaign start_day end_day",
    "coupon": "coupon_upc product_id campaign",
    "coupon_redempt": "household_key day coupon_upc campaign",
    "causal_data": "product_id store_id week_no",
    "customer_accounts": "account_number",
    "broadband_services": "account_number service_number",
    "initial_services": "account_number service",
    "cashback": "account_number cashback_month",
    "products": "product_id",
    "coupons": "coupon_id coupon_type department discount start_date end_date",
    "coupon_products": "coupon_id product_id",
    "customers": "customer_id",
    "orders": "order_id customer_id",
    "order_lines": "order_id line_number product_id",
    "coupon_info": "coupon_id coupon_type department discount start_date end_date",
    "customer_info": "customer_id",
}
AT_LEAST_0 = {
    "products": "buy_price",
    "coupons": "discount",
    "order_lines": "original_price paid_price",
    "coupon_info": "discount product_mean_price products_available",
    "customer_info": "mean_buy_price total_coupons_used unique_products_bought "
    "unique_products_bought_with_coupons total_items_bought",
}
AT_MOST = {
    ("coupons", "discount"): 100,
    ("coupon_info", "discount"): 100,
    ("order_lines", "original_price"): 100_000_000,
    ("order_lines", "paid_price"): 100_000_000,
    ("customer_info", "mean_discount_received"): 100,
}
KINDS = "buy_more, buy_all, just_discount, department"
ONE_OF = {
    ("campaign_desc", "description"): "TypeA, TypeB, TypeC",
    ("hh_demographic", "age_desc"): "19-24, 25-34, 35-44, 45-54, 55-64, 65+",
    ("hh_demographic", "income_desc"): "Under 15K, 15-24K, 25-34K, 35-49K, 50-74K, 75-99K, "
    "100-124K, 125-149K, 150-174K, 175-199K, 200-249K, 250K+",
    ("hh_demographic", "hh_comp_desc"): "1 Adult Kids, 2 Adults Kids, 2 Adults No Kids, "
    "Single Female, Single Male, Unknown",
    ("hh_demographic", "household_size_desc"): "1, 2, 3, 4, 5+",
    ("coupons", "coupon_type"): KINDS,
    ("coupon_info", "coupon_type"): KINDS,
}
CENTS = {("products", "buy_price")}

# Odd values by type, besides a blank; texts that look like numbers are judged as such.
BLANKS = {"text": ["", " "], "label": ["", " "]}
ODD = {
    "id": [str(-(2**63)), str(2**63 - 1), "0"],
    "integer": ["-999999999", "999999999", "0", "126"],
    "money": ["-9999999999.99", "9999999999.99", "0", "-0.01", "100000000.01"],
    "number": ["-999999999999999", "999999999999999", "0", "12.345", "5.3100000000000005"],
    "label": ["x" * 255, "TypeD", "Ä"],
    "text": ["x" * 1000, "-1", "0", "1.5", "1e3"],
    "day": ["-366784", "2920397", "0", "126", "2004-03-23", "9999-12-31"],
    "date": ["1000-01-01", "9999-12-31"],
    "timestamp": ["1000-01-01 00:00:00", "9999-12-31 23:59:59.999999"],
}
# The column that makes a row another one.
OWN = {
    "product": "product_id",
    "hh_demographic": "household_key",
    "campaign_table": "household_key",
    "campaign_desc": "campaign",
    "coupon": "coupon_upc",
    "coupon_redempt": "coupon_upc",
    "causal_data": "product_id",
    "transaction_data": "basket_id",
    "customer_accounts": "account_number",
    "broadband_services": "service_number",
    "initial_services": "service",
    "cashback": "cashback_month",
    "voucher_assignments": "country_code",
    "products": "product_id",
    "coupons": "coupon_id",
    "coupon_products": "product_id",
    "customers": "customer_id",
    "orders": "order_id",
    "order_lines": "line_number",
    "coupon_info": "coupon_id",
    "customer_info": "customer_id",
}
# Larger than every number of the small retailer.
MARK = 10**15

LIST = [
    ("", "blank line"),
    (" ", "blank line"),
    ("nobody, fb, in, F", "no email"),
    (", fb, in, F", "no email"),
    ("a@example.org", "kept"),
    ("b@example.org, , , ", "kept"),
    ("b@example.org", "repeated member"),
    (f"{'x' * 250}@example.org, fb", "field too long"),
    (f"c@example.org, {'x' * 256}, in, F", "field too long"),
    (f"c@example.org, fb, {'x' * 256}, F", "field too long"),
    (f"c@example.org, fb, in, {'x' * 256}", "field too long"),
]
CONVERSIONS = [
    ("", "blank line"),
    (", ClickConversion, a@example.org, Facebook", "missing promotion"),
    ("P, , a@example.org, Facebook", "unknown conversion type"),
    ("P, Click, a@example.org, Facebook", "unknown conversion type"),
    ("P, ClickConversion, , Facebook", "no email"),
    ("P, ClickConversion, a@example.org", "missing channel"),
    ("P, ClickConversion, a@example.org, ", "missing channel"),
    (f"{'x' * 256}, ClickConversion, a@example.org, Facebook", "field too long"),
    (f"P, ClickConversion, a@example.org, {'x' * 256}", "field too long"),
    ("P, BasketConversion, a@example.org", "kept"),
    ("P, BasketConversion, a@example.org, []", "kept"),
    ("P, PurchaseConversion, a@example.org, [6]", "unreadable total"),
    ("P, PurchaseConversion, a@example.org, [6], ", "unreadable total"),
    ("P, PurchaseConversion, a@example.org, [6], -1", "unreadable total"),
    ("P, PurchaseConversion, a@example.org, [6], 1e3", "unreadable total"),
    ("P, PurchaseConversion, a@example.org, [6], 10000000000", "unreadable total"),
    ("P, PurchaseConversion, a@example.org, , 9999999999.99", "kept"),
]
LEFT_OUT = {
    "Households sent a campaign that campaign_desc does not have are left out: 1.",
    "Coupons of a campaign that campaign_desc does not have count for none: 1.",
    "Redemptions of a campaign that campaign_desc does not have are left out: 1.",
    "Order lines of an order that orders does not have are left out: 1.",
}


@dataclass(frozen=True)
class OddRow:
    """A good row of which one column has another value; `mark` is a number of its own."""

    dataset: Dataset
    column: Column
    value: str
    mark: int
    fields: dict[str, str]

    @property
    def reason(self) -> str | None:
        """Why the load rejects it, None where it lands."""
        name, column, value = self.dataset.name, self.column.name, self.value
        if not value.strip():
            is_needed = column in NEEDED.get(name, "").split()
            return "blank, but a value is needed" if is_needed else None
        if (name, column) in ONE_OF:
            texts = ONE_OF[name, column]
            return None if value in texts.split(", ") else f"not one of {texts}"
        if self.column.type in {"integer", "money", "number"}:
            if column in AT_LEAST_0.get(name, "").split() and float(value) < 0:
                return "below 0"
            most = AT_MOST.get((name, column))
            if most is not None and float(value) > most:
                return f"above {most:,}"
            if (name, column) in CENTS and value == "12.345":
                return "more than 2 decimals"
        return None


def small_retailer(dataset: Dataset) -> list[dict[str, str]]:
    path = PROJECT_DIR / "seeds" / f"raw_{dataset.domain}__{dataset.name}.csv"
    with path.open(newline="") as file:
        return [{k.lower(): v for k, v in row.items()} for row in csv.DictReader(file)]


def good_row(dataset: Dataset, rows: list[dict[str, str]]) -> dict[str, str]:
    if dataset.name == "transaction_data":
        rows = [row for row in rows if 101 <= int(row["day"]) <= 708 and row["week_no"]]
    if dataset.name == "voucher_assignments":
        return {
            "timestamp": "2020-05-01 10:00:00",
            "country_code": "Peru",
            "last_order_ts": "2020-03-01 00:00:00",
            "first_order_ts": "2019-03-01 00:00:00",
            "total_orders": "2.0",
            "voucher_amount": "2640.00",
        }
    return max(rows, key=lambda row: sum(map(bool, row.values())))


def odd_rows(dataset: Dataset, good: dict[str, str], mark: int) -> Iterator[OddRow]:
    own = OWN[dataset.name]
    first_year = 3000 - mark
    for column in dataset.columns:
        values = [*BLANKS.get(column.type, [""]), *ODD[column.type]]
        if column.type == "id":
            values.append(str(mark + 500))
        for value in values:
            mark += 1
            row = good | {own: f"{first_year + mark}-01-01" if "month" in own else str(mark)}
            if dataset.name == "transaction_data":
                row["store_id"] = str(mark)
            yield OddRow(dataset, column, value, mark, row | {column.name.lower(): value})


def judge_line(row: OddRow) -> str | None:
    """Why a basket's line is dropped."""
    name, value = row.column.name, row.value
    if not value:
        needs = "household_key basket_id day product_id quantity sales_value"
        return "blank field" if name in needs.split() else None
    if name in {"quantity", "sales_value"} and float(value) <= 0:
        return "nothing bought or paid"
    if name == "day" and value != "126":
        return "outside the days in scope"
    if name == "week_no" and not 0 <= int(value) <= 125:
        return "outside the weeks in scope"
    if name == "household_key":
        return "household of one day"
    # Odd rows of products have the others.
    return "unknown product" if name == "product_id" and MARK < int(value) < 2 * MARK else None


def judge_assignment(row: OddRow) -> str | None:
    """Why a voucher's assignment is dropped."""
    name, value = row.column.name, row.value
    if name == "total_orders":
        found = {"": "empty order count", " ": "empty order count", "-1": "negative order count"}
        found |= {"0": "zero order count"}
        return found.get(value, "order count is no whole number")
    if name.endswith("_ts") or name == "timestamp":
        if not value:
            return "missing date"
        is_early = value < "1001"
        if name == "timestamp" and is_early:
            return "last order after assignment"
        if name == "last_order_ts":
            return "first order after last order" if is_early else "last order after assignment"
        if name == "first_order_ts" and not is_early:
            return "first order after last order"
    return None


@pytest.fixture
def settings(prepared: Prepared, short_tmp: Path) -> Iterator[Settings]:
    empty = prepared.empty(short_tmp / "odd_values")
    yield empty.model_copy(update={"reject_limit_percent": 100, "study": "complete_journey"})
    EmbeddedPostgres(empty.data_dir).stop()


def test_no_value_of_a_file_stops_its_domain(settings: Settings, tmp_path: Path) -> None:
    made: list[OddRow] = []
    for dataset in FILES.values():
        rows = small_retailer(dataset)
        odd = list(odd_rows(dataset, good_row(dataset, rows), MARK + 1000 * len(made)))
        made += odd
        folder = tmp_path / dataset.domain
        folder.mkdir(exist_ok=True)
        with (folder / f"{dataset.name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [column.name.lower() for column in dataset.columns])
            writer.writeheader()
            writer.writerows([*rows, *(one.fields for one in odd)])
        report = load(settings, domain=dataset.domain, from_=folder, dataset=dataset.name)
        assert report.files[0].rows_read == len(rows) + len(odd)
        rejects = settings.rejects_dir / dataset.domain / dataset.name / f"{dataset.name}.csv.csv"
        found = {}
        if rejects.exists():
            with rejects.open(newline="") as file:
                found = {int(r["line"]): (r["column"], r["reason"]) for r in csv.DictReader(file)}
        assert found == {
            line: (one.column.name, one.reason)
            for line, one in enumerate(odd, len(rows) + 2)
            if one.reason
        }
    assert {(one.dataset.name, one.column.name) for one in made} == {
        (dataset.name, column.name) for dataset in FILES.values() for column in dataset.columns
    }
    folder = tmp_path / "loyalty"
    folder.mkdir()
    for name, lines in (("LoyaltyList.txt", LIST), ("Conversion.txt", CONVERSIONS)):
        (folder / name).write_text("".join(f"{line}\n" for line, _ in lines))
    load(settings, domain="loyalty", from_=folder)

    domains = ["customer", "household", "loyalty", "store"]
    built = build(settings, domains)
    assert not built.failed, built.message
    assert set(built.notes) == LEFT_OUT
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        judged = warehouse.execute(
            "select store_id, basket_id, drop_reason "
            "from warehouse_intermediate.int_transactions_judged"
        ).fetchall()
        assigned = warehouse.execute(
            "select country_code, drop_reason "
            "from warehouse_intermediate.int_voucher_assignments_judged"
        ).fetchall()
        reported = warehouse.execute(
            "select dataset, outcome, lines from warehouse_marts.loyalty_cleaning_report "
            "where lines > 0"
        ).fetchall()
    # One of the two is the row's mark.
    reasons = {mark: reason for *marks, reason in judged for mark in marks}
    countries = dict(assigned)
    for one in made:
        if one.dataset.name == "transaction_data":
            assert reasons[one.mark] == judge_line(one), one
        if one.dataset.name == "voucher_assignments" and one.column.name != "country_code":
            assert countries[str(one.mark)] == judge_assignment(one), one
    assert {(dataset, outcome): lines for dataset, outcome, lines in reported} == {
        (dataset, outcome): lines
        for dataset, every in (("loyalty_list", LIST), ("conversions", CONVERSIONS))
        for outcome, lines in Counter(outcome for _, outcome in every).items()
    }
    for domain in domains:
        assert release(settings, domain).number == 1
