"""What a declared column asks of its values, in CSV and Parquet files."""

import csv
import io

import duckdb
import pytest
import yaml

from orchestration.load.column_rules import Rules
from orchestration.load.convert import Job, convert
from orchestration.load.declarations import Column, Dataset, read_datasets
from orchestration.scans import scan_parquet
from pollux.runtime.settings import PROJECT_DIR
from tests.orchestration.load.conftest import YAML, only

NEEDED = "blank, but a value is needed"
# Rules of a type, and texts with the reason to reject them, None for those that land.
CASES = {
    "a needed id": (
        "id",
        Rules(required=True),
        {"7": None, "0": None, "": NEEDED, " ": NEEDED, "NA": NEEDED, "x": "not a number"},
    ),
    "a needed name": (
        "label",
        Rules(required=True),
        {
            "gas": None,
            " gas": None,
            "Gás": None,
            "日本": None,
            ",": None,
            '"': None,
            "": NEEDED,
            "  ": NEEDED,
            "\t": NEEDED,
            "\u00a0": NEEDED,
            "\u200b\ufeff": NEEDED,
            "NA": NEEDED,
        },
    ),
    "a needed day": ("date", Rules(required=True), {"2024-01-05": None, "": NEEDED}),
    "a week": (
        "integer",
        Rules(min_value=0, max_value=125),
        {
            "0": None,
            "-0": None,
            "99": None,
            "125": None,
            "125.0": None,
            "": None,
            "126": "above 125",
            "-1": "below 0",
            "999999999": "above 125",
            "3000000000": "more than 9 digits",
        },
    ),
    "a percent": (
        "integer",
        Rules(required=True, min_value=1, max_value=9),
        {"1": None, "9": None, "0": "below 1", "10": "above 9", "": NEEDED},
    ),
    "an amount": (
        "money",
        Rules(min_value=0, max_value=100_000_000),
        {
            "0.00": None,
            "100000000.00": None,
            "99999999.99": None,
            "100000000.01": "above 100,000,000",
            "-0.01": "below 0",
            "": None,
        },
    ),
    "a price": (
        "number",
        Rules(min_value=0, decimals=2),
        {
            "5.31": None,
            "5.3100000000000005": None,
            "5.310": None,
            "0": None,
            "1e2": None,
            "5.315": "more than 2 decimals",
            "0.001": "more than 2 decimals",
            "-5.31": "below 0",
        },
    ),
    "at most": ("number", Rules(max_value=100), {"-5.5": None, "100": None, "100.1": "above 100"}),
    "one of": (
        "label",
        Rules(values=("TypeA", "65+", "a.b")),
        {
            "TypeA": None,
            "65+": None,
            "a.b": None,
            "": None,
            " ": None,
            " TypeA\u00a0": None,
            "TypeB": "not one of TypeA, 65+, a.b",
            "typea": "not one of TypeA, 65+, a.b",
            "655": "not one of TypeA, 65+, a.b",
            "axb": "not one of TypeA, 65+, a.b",
        },
    ),
    "one that is needed": (
        "label",
        Rules(required=True, values=("1", "5+")),
        {"1": None, "5+": None, "": NEEDED, " ": NEEDED, "5": "not one of 1, 5+"},
    ),
}


@pytest.fixture
def convert_rows(tmp_path):
    """Converts a file of row numbers and values; returns rows landed and reasons by row."""

    def run(type_, rules, texts, *, as_parquet=False):
        work = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work.mkdir()
        columns = (Column("row", "integer"), Column("value", type_, rules))
        dataset = Dataset("d", "t", ("*",), "csv", (), columns, nulls=("NA",))
        path = work / "t"
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["row", "value"], *enumerate(texts)])
        path.write_bytes(text.getvalue().encode())
        if as_parquet:
            given = f"read_csv('{path}', all_varchar=true, quote='\"', header=true, delim=',')"
            duckdb.sql(f"copy (from {given}) to '{path}.pq' (format parquet)")
            path = work / "t.pq"
        convert(Job(path, path, dataset, work, "", False, 100, lambda **_: None))
        landed = duckdb.sql(f"from {scan_parquet([work / 'part'])}").fetchall()
        rejects = {}
        if (work / "rejects").exists():
            with (work / "rejects").open(newline="", encoding="utf-8") as file:
                first = 1 if as_parquet else 2
                rejects = {int(r["line"]) - first: r["reason"] for r in csv.DictReader(file)}
        return {row for row, _ in landed}, rejects

    return run


@pytest.mark.parametrize("name", CASES)
def test_a_value_lands_or_is_rejected_with_the_reason(convert_rows, name):
    type_, rules, texts = CASES[name]
    every = list(texts)
    expected = {row: texts[text] for row, text in enumerate(every) if texts[text]}
    for as_parquet in (False, True):
        landed, rejects = convert_rows(type_, rules, every, as_parquet=as_parquet)
        assert rejects == expected
        assert landed == set(range(len(every))) - expected.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_ends_the_same_among_good_rows_and_alone(convert_rows, name):
    """One read by DuckDB may do it all; after a reject, runs of good lines are passed at once."""
    type_, rules, texts = CASES[name]
    good = [text for text, reason in texts.items() if reason is None]
    bad = [text for text in texts if text not in good]
    assert convert_rows(type_, rules, good) == (set(range(len(good))), {})
    for text in bad:
        assert convert_rows(type_, rules, [text]) == (set(), {0: texts[text]})
    rows = [one for text in bad for one in (*good, *good, text)]
    expected = {row: texts[text] for row, text in enumerate(rows) if texts[text]}
    assert convert_rows(type_, rules, rows) == (set(range(len(rows))) - expected.keys(), expected)


def test_rules_that_changed_are_asked_again(shop):
    """The same file, rejected or taken otherwise, replaces its part; parts of other files stay."""
    content = b"id,name,amount\n7,a,1.00\n,b,2.00\n"
    shop.load(content)
    assert only(shop.load(content)).outcome == "unchanged"
    path = shop.folder / "models" / "staging" / "shop" / "_shop__sources.yml"
    rule = "{name: id, data_type: integer, config: {meta: {required: true, owner: me}}}"
    path.write_text(YAML.replace("{name: id, data_type: integer}", rule, 1))
    shop.settings = shop.settings.model_copy(update={"reject_limit_percent": 50})
    other = only(shop.load(b"id,name,amount\n8,c,1.00\n", "sales-2.csv"))
    assert (other.outcome, shop.rows()[-1][:2]) == ("landed", (None, "b"))
    again = only(shop.load(content))
    assert (again.outcome, again.rows_landed, again.rows_rejected) == ("replaced", 1, 1)
    assert [row[0] for row in shop.rows()] == [7, 8]
    assert shop.rejects() == [("sales.csv", "3", "id", NEEDED, ",b,2.00")]
    assert only(shop.load(content)).outcome == "unchanged"


def test_models_ask_for_what_the_load_promises():
    """Values and ranges that staging models are tested for are those that the load lets through."""
    datasets = read_datasets(PROJECT_DIR).values()
    rules = [column.rules for dataset in datasets for column in dataset.columns]
    texts = {rule.values for rule in rules if rule.values}
    ranges = {(rule.min_value, rule.max_value) for rule in rules}
    asked = set()
    for path in (PROJECT_DIR / "models" / "staging").glob("*/stg_*.yml"):
        if path.parent.name in {"events", "learned"}:
            continue
        (model,) = yaml.safe_load(path.read_text())["models"]
        for column in model["columns"]:
            for test in column.get("data_tests", []):
                if "accepted_values" in test:
                    values = tuple(test["accepted_values"]["arguments"]["values"])
                    assert values in texts, (path.name, column["name"])
                    asked.add(values)
                if "accepted_range" in test:
                    limits = test["accepted_range"]["arguments"]
                    assert (limits["min_value"], limits["max_value"]) in ranges
    assert len(asked) > 3
