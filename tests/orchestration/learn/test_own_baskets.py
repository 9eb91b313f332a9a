"""`pollux evaluate recommend` on a user's own file, and its messages for a wrong one."""

import gzip
import json
import re
import sys

import duckdb
import numpy as np
import pytest

from cli import output
from cli.main import main
from orchestration.learn.recommend.errors import BasketsError
from orchestration.learn.recommend.household import lines_in_order
from orchestration.learn.recommend.protocols import read_dated, read_ordered, read_own
from orchestration.load.errors import LoadError

USERS = 12
# Each user's baskets in order: what was bought, as user u.
HISTORY = [["a", "b"], ["b"], ["a", "c"]]


def rows(moment):
    """Lines as (user, basket, moment, item); moments by the number of the basket."""
    return [
        (f"u{user}", f"{user}-{place}", moment(place), item)
        for user in range(USERS)
        for place, items in enumerate(HISTORY)
        for item in items
    ]


def histories(found):
    """Items by user and basket, as their positions in order of their names."""
    baskets = found.baskets
    found = [[[] for _ in range(int(n))] for n in baskets.counts]
    for basket, item in zip(baskets.line_basket, baskets.line_item, strict=True):
        owner = int(baskets.owner[basket])
        found[owner][int(baskets.number[basket])].append("abc"[int(item)])
    return found


def write(path, lines, names=("who", "order_id", "at", "sku"), separator=","):
    text = "\n".join(separator.join(map(str, line)) for line in [names, *lines])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


MOMENTS = {
    "dates": lambda place: f"2024-01-{place + 1:02}",
    "times": lambda place: f"2024-01-01 10:00:{place:02}",
    "zones": lambda place: f"2024-01-01T10:00:{place:02}Z",
    "numbers": lambda place: place * 10 + 5,
    "fractions": lambda place: 0.5 + place,
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_baskets_by_user_and_time(tmp_path, moment, shuffled):
    lines = rows(moment)
    if shuffled:
        np.random.default_rng(1).shuffle(lines)
    path = write(tmp_path / "t.csv", lines)
    baskets = read_own(path, user="who", item="SKU", time="at")
    assert histories(baskets) == [HISTORY] * USERS


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_table_of_text(tmp_path, name, separator):
    path = write(tmp_path / name, rows(lambda _: ""), separator=separator)
    assert histories(read_own(path, user="who", item="sku", basket="order_id")) == [HISTORY] * USERS


def test_numbered_baskets_are_ordered_as_numbers(tmp_path):
    lines = [(user, place + 8, "", item) for user in range(USERS)
             for place, items in enumerate(HISTORY) for item in items]  # fmt: skip
    path = write(tmp_path / "t.csv", lines)
    assert histories(read_own(path, user="who", item="sku", basket="order_id")) == [HISTORY] * USERS


def test_parquet(tmp_path):
    values = ", ".join(map(str, rows(lambda place: place)))
    path = tmp_path / "t"
    duckdb.sql(
        f"copy (select who, date '2024-01-01' + place as \"at\", sku from (values {values}) "
        f"as t(who, order_id, place, sku)) to '{path}' (format parquet)"
    )
    found = read_own(path, user="who", item="sku", time="at")
    assert histories(found) == [HISTORY] * USERS
    assert np.allclose(np.diff(found.baskets.time[:3]), 1, atol=1e-3)


def test_two_baskets_of_one_day_stay_two(tmp_path):
    path = write(tmp_path / "t.csv", rows(lambda _: "2024-01-01"))
    baskets = read_own(path, user="who", item="sku", basket="order_id", time="at")
    assert histories(baskets) == [HISTORY] * USERS


def test_blank_rows_and_users_of_few_baskets_do_not_count(tmp_path):
    lines = [*rows(lambda place: place), ("few", "x", 1, "a"), ("few", "y", 2, "a")]
    lines += [("", "x", 1, "a"), ("u1", "x", "", "a"), ("u1", "x", 1, " ")]
    path = write(tmp_path / "t.csv", lines)
    assert histories(read_own(path, user="who", item="sku", time="at")) == [HISTORY] * USERS


OWN = {"user": "who", "item": "sku", "time": "at"}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "who,at,sku\n",
            OWN,
            "t.csv has 0 customers with enough baskets to measure on; 10 are needed",
        ),
        ("who,at,item\n1,1,1\n", OWN, "t.csv has no column sku; its columns are who, at, item"),
        ("who,at,sku\nu,soon,1\n", OWN, "t.csv: at holds 'soon', neither a time nor a number"),
        ("who,at,sku\nu,1,1\nu,2024-01-01,1\n", OWN, "t.csv: at holds '1', neither a time"),
        ("", OWN, "t.csv is empty; fetch it again or leave it out"),
        ("%PDF-1.7", OWN, "t.csv is a PDF; export the data as CSV"),
        ("PAR1", OWN, "t.csv cannot be read: "),
    ],
)
def test_a_wrong_table_is_one_clear_line(tmp_path, content, options, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises((BasketsError, LoadError)) as caught:
        read_own(path, **options)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("household_key,day\n", "has no column basket_id; its columns are household_key, day"),
        (
            "household_key,basket_id,product_id,day,trans_time\n1,1,1,soon,1\n",
            "t.csv: day holds 'soon', which is not a whole number",
        ),
        (
            "household_key,basket_id,product_id,day,trans_time\n1,1,1,1,\n",
            "0 customers with enough",
        ),
    ],
)
def test_a_wrong_transaction_file_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(BasketsError) as caught:
        read_dated(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[1]", "holds no JSON object of customers and their baskets"),
        ('{"7": [1, 2]}', "customer '7' has no list of lists of item numbers"),
        ('{"7": [["a"]]}', "customer '7' has no list of lists of item numbers"),
        ('{"7": [[-1]]}', "customer '7' has no list of lists of item numbers"),
        ("{}", "has 0 customers with enough baskets"),
        (json.dumps({n: [] for n in range(20)}), "has 0 customers with enough baskets"),
    ],
)
def test_wrong_json_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "t.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(BasketsError) as caught:
        read_ordered(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_item_that_is_twice_in_a_basket_counts_once(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps({n: [[1, 1, 0], [], [2]] for n in range(10)}))
    assert histories(read_ordered(path)) == [[["b", "a"], ["c"]]] * 10


def test_baskets_without_a_time_follow_one_another_within_their_day():
    lines = [
        # household, basket, day, time
        (1, 30, 5, 1215), (1, 20, 5, None), (1, 10, 5, None), (1, 10, 5, None),
        (1, 40, 6, None), (2, 50, 5, None), (3, None, 5, None), (4, 60, None, None),
    ]  # fmt: skip
    values = ", ".join(str(line).replace("None", "null") for line in lines)
    source = f"(from (values {values}) as t(household_key, basket_id, day, trans_time))"
    found = duckdb.sql(
        f"select household_key, basket_id, minute from ({lines_in_order(source)}) order by all"
    ).fetchall()
    minutes = {(household, basket): float(minute) for household, basket, minute in found}
    assert len(found) == 7
    assert minutes[1, 30] == 5 * 1440 + 12 * 60 + 15
    assert 5 * 1440 < minutes[1, 10] < minutes[1, 20] < 6 * 1440 < minutes[1, 40]
    assert minutes[2, 50] // 1440 == minutes[3, None] // 1440 == 5
    assert all(minutes[key] % 1 for key in minutes if key != (1, 30))
    assert (4, 60) not in minutes


def test_a_transaction_file_of_which_times_are_blank(tmp_path):
    lines = ["household_key,basket_id,product_id,day,trans_time"]
    for household in range(USERS):
        for day in range(6):
            lines += [f"{household},{household}{day},{product},{day}," for product in (1, 2)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    baskets = read_dated(path).baskets
    assert (baskets.customers, baskets.items, list(baskets.counts)) == (USERS, 2, [6] * USERS)


def evaluate(monkeypatch, path, *options):
    """Runs the command and returns its exit code."""
    monkeypatch.setattr(
        sys, "argv", ["pollux", "evaluate", "recommend", "--from", str(path), *options]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_options_that_do_not_go_together(tmp_path, capsys, monkeypatch):
    path = write(tmp_path / "t.csv", rows(lambda place: place))
    for options in (["--user", "who"], ["--user", "who", "--item", "sku"], ["--item", "sku"]):
        assert evaluate(monkeypatch, path, *options) == 2
        assert "--basket or --time" in " ".join(capsys.readouterr().err.split())


def test_the_users_own_baskets_are_measured_and_each_users_results_written(
    tmp_path, capsys, monkeypatch
):
    rng = np.random.default_rng(3)
    lines = [
        (f"user {user:02}", f"{user}-{place}", place, item)
        for user in range(30)
        for place in range(6)
        for item in {user % 4, *rng.integers(0, 9, 2).tolist()}
    ]
    path = write(tmp_path / "t.csv", lines)
    monkeypatch.setattr(output, "LOG_SECONDS", 0)
    names = ("--user", "who", "--item", "sku", "--basket", "order_id", "--time", "at")
    assert evaluate(monkeypatch, path, *names, "--quick", "--to", str(tmp_path / "out")) == 0
    printed = capsys.readouterr()
    assert re.search(r"\d+%, \d+ s left, neighbour_weight = ", printed.err)
    assert re.search(r"\d+%, \d+ s left, TIFU-kNN", printed.err)
    assert "30 customers" in printed.err

    page = (tmp_path / "out" / "recommend-evaluation.md").read_text()
    assert "Chosen quickly" in page
    assert (tmp_path / "out" / "recommend-evaluation-own.svg").read_text().count("<svg") == 1
    results = tmp_path / "out" / "recommend-evaluation-own-customers.csv"
    rows = duckdb.sql(
        "select method, count(*), min(customer), max(customer), avg(recall), avg(ndcg), "
        "bool_and(abs(recall - hits / items) < 1e-12) "
        f"from '{results}' group by 1"
    ).fetchall()
    assert len(rows) == 6
    for method, users, first, last, recall, ndcg, is_consistent in rows:
        assert (users, first, last, is_consistent) == (30, "user 00", "user 29", True)
        found = re.search(rf"^\| {method} \| ([\d.]+) .*?\) \| ([\d.]+) ", page, re.MULTILINE)
        assert [float(mean) for mean in found.groups()] == [
            pytest.approx(recall, abs=5.1e-5), pytest.approx(ndcg, abs=5.1e-5)
        ]  # fmt: skip
    # The last basket of user 1, from the lines.
    wanted = {item for user, _, place, item in lines if user == "user 01" and place == 5}
    assert duckdb.sql(
        f"select distinct items from '{results}' where customer = 'user 01'"
    ).fetchall() == [(len(wanted),)]
