"""The household sample: the format of the real files, and a retailer worth analysing."""

import csv
import itertools
from pathlib import Path

import duckdb
import pytest
import yaml

from sample.errors import SampleError
from sample.household import generate_household
from sample.household.seeds import UNKNOWN_PRODUCT, UNKNOWN_PRODUCT_LINES, write_seeds
from tests.conftest import PROJECT_DIR
from tests.sample.support import assert_seeds_are_committed, one, value, values

SOURCES = PROJECT_DIR / "models/staging/complete_journey/_complete_journey__sources.yml"
DATASETS = [
    "transaction_data",
    "product",
    "hh_demographic",
    "campaign_table",
    "campaign_desc",
    "coupon",
    "coupon_redempt",
    "causal_data",
]
SCALE = 0.1
HOUSEHOLDS = 250

IN_SCOPE = """
    create table in_scope as
    with counting as (
        select transaction_data.*
        from transaction_data
        inner join product using (product_id)
        where quantity > 0 and sales_value > 0 and day between 101 and 708
            and sub_commodity_desc <> 'GASOLINE-REG UNLEADED'
    )
    select * from counting
    where household_key in (
        select household_key from counting group by 1 having count(distinct day) > 1
    )
"""


def connect(folder: Path, prefix: str = "") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in DATASETS:
        path = folder / f"{prefix}{name}.csv"
        connection.execute(
            f"create table {name} as select * from read_csv('{path}', header = true)"
        )
    connection.execute(IN_SCOPE)
    return connection


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    rows = generate_household(folder, scale=SCALE)
    return folder, rows


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    told = []
    generate_household(folder, scale=0.0001, progress=told.append)
    return folder, told


@pytest.fixture(scope="module")
def other_seed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other_seed")
    generate_household(folder, scale=0.0001, seed=2)
    return folder


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    rows = write_seeds(folder)
    return folder, rows


@pytest.fixture(scope="module")
def db(sample):
    with connect(sample[0]) as connection:
        yield connection


@pytest.fixture(scope="module")
def seeds_db(seeds):
    with connect(seeds[0], "raw_household__") as connection:
        yield connection


def header(path):
    with path.open(encoding="utf-8") as lines:
        return lines.readline().rstrip("\n").split(",")


def declared_columns():
    (source,) = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))["sources"]
    return {
        table["name"]: [column["name"] for column in table["columns"]] for table in source["tables"]
    }


# --- files ---


def test_same_arguments_give_the_same_bytes(tiny, tmp_path):
    folder, _ = tiny
    generate_household(tmp_path, scale=0.0001)
    for name in DATASETS:
        first = (folder / f"{name}.csv").read_bytes()
        assert first == (tmp_path / f"{name}.csv").read_bytes(), name


def test_another_seed_gives_another_retailer(tiny, other_seed):
    for name in sorted(set(DATASETS) - {"campaign_desc"}):
        first = (tiny[0] / f"{name}.csv").read_bytes()
        assert first != (other_seed / f"{name}.csv").read_bytes(), name


def test_a_household_does_the_same_at_any_scale(sample, tiny):
    def lines_of_household_1(folder):
        with (folder / "transaction_data.csv").open(encoding="utf-8") as lines:
            return [line for line in lines if line.startswith("1,")]

    alone = lines_of_household_1(tiny[0])
    assert len(alone) > 100
    assert alone == lines_of_household_1(sample[0])


def test_headers_are_the_declared_columns(sample):
    declared = declared_columns()
    assert sorted(declared) == sorted(DATASETS)
    for name in DATASETS:
        columns = [column.lower() for column in header(sample[0] / f"{name}.csv")]
        assert columns == declared[name], name


def test_files_look_like_the_real_ones(sample, realdata):
    real = realdata / "complete_journey"
    for name in DATASETS:
        ours, theirs = sample[0] / f"{name}.csv", real / f"{name}.csv"
        assert header(ours) == header(theirs), name
        with ours.open("rb") as mine, theirs.open("rb") as real_lines:
            for lines in (mine, real_lines):
                start = lines.read(100_000)
                assert b"\r" not in start, name
                assert b'"' not in start, name
    shapes = {folder: shapes_of(folder / "transaction_data.csv") for folder in (sample[0], real)}
    # Other digits, but no other way to write a number; larger ones are fine.
    assert shapes[sample[0]] == shapes[real]
    blank = {folder: blank_columns(folder / "product.csv") for folder in (sample[0], real)}
    assert blank[sample[0]] == blank[real]


def blank_columns(path):
    """Columns that are a single blank somewhere."""
    with path.open(encoding="utf-8", newline="") as lines:
        columns, *rows = csv.reader(lines)
    return {
        column for row in rows for column, text in zip(columns, row, strict=True) if text == " "
    }


def shapes_of(path):
    """How numbers are written, by column."""
    with path.open(encoding="utf-8", newline="") as lines:
        columns, *rows = csv.reader(itertools.islice(lines, 90_000))
    texts = {
        column: set(column_texts) for column, *column_texts in zip(columns, *rows, strict=True)
    }
    return {(column, shape(text)) for column in columns for text in texts[column]}


def shape(text):
    """Whether a number is negative, and how many digits follow its point."""
    whole, _, places = text.lstrip("-").partition(".")
    assert whole.isdigit(), text
    assert not places or places.isdigit(), text
    return text.startswith("-"), len(places)


def test_sizes(sample, db):
    folder, rows = sample
    assert sorted(rows) == sorted(f"{name}.csv" for name in DATASETS)
    for name in DATASETS:
        assert rows[f"{name}.csv"] == value(db, f"select count(*) from {name}")
        assert (folder / f"{name}.csv").read_bytes().endswith(b"\n")
    assert rows["product.csv"] == 92_353
    assert rows["campaign_desc.csv"] == 30
    assert rows["coupon.csv"] == 124_548
    assert rows["transaction_data.csv"] == pytest.approx(2_595_732 * SCALE, rel=0.05)
    assert rows["hh_demographic.csv"] == pytest.approx(801 * SCALE, rel=0.15)
    assert rows["campaign_table.csv"] == pytest.approx(7_208 * SCALE, rel=0.15)
    assert rows["coupon_redempt.csv"] == pytest.approx(2_318 * SCALE, rel=0.35)
    assert value(db, "select count(distinct household_key) from transaction_data") == HOUSEHOLDS


def test_all_tracked_stores_with_causal(tiny, tmp_path):
    rows = generate_household(tmp_path, scale=0.03, causal=True)
    extract, whole = tiny[0] / "causal_data.csv", tmp_path / "causal_data.csv"
    stores = "select count(distinct store_id) from read_csv('{}')"
    with duckdb.connect() as connection:
        assert value(connection, stores.format(extract)) == 2
        assert value(connection, stores.format(whole)) == 3
    # 36.8 million rows for 115 stores.
    assert rows["causal_data.csv"] == pytest.approx(36_786_524 * 3 / 115, rel=0.04)


def test_progress_tells_of_each_file(tiny):
    for name in DATASETS:
        assert f"writing {name}.csv" in tiny[1]


@pytest.mark.parametrize("scale", [0, -1, 101, float("nan"), float("inf")])
def test_scale_out_of_range(scale, tmp_path):
    with pytest.raises(SampleError, match="scale must be above 0 and at most 100"):
        generate_household(tmp_path / "never", scale=scale)
    assert not (tmp_path / "never").exists()


def test_seed_out_of_range(tmp_path):
    with pytest.raises(SampleError, match="seed must be 0 or above, not -1"):
        generate_household(tmp_path, seed=-1)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(SampleError, match=r"cannot write a sample to .*file"):
        generate_household(tmp_path / "file", scale=0.0001)


def test_file_that_cannot_be_written(tmp_path):
    (tmp_path / "product.csv").mkdir()
    with pytest.raises(SampleError, match=r"cannot write .*product\.csv"):
        generate_household(tmp_path, scale=0.0001)


# --- references ---


def test_references_are_whole(db):
    for name in ("transaction_data", "coupon", "causal_data"):
        assert value(db, f"select count(*) from {name} anti join product using (product_id)") == 0
    for name in ("campaign_table", "coupon", "coupon_redempt"):
        lost = f"select count(*) from {name} anti join campaign_desc using (campaign)"
        assert value(db, lost) == 0
    for name in ("campaign_table", "hh_demographic", "coupon_redempt"):
        assert value(db, f"select count(*) from {name}") > 0
        assert value(db, f"select max(household_key) from {name}") <= HOUSEHOLDS


def test_calendar_and_keys(db):
    assert one(db, "select min(day), max(day) from transaction_data") == (1, 711)
    wrong = "select count(*) from transaction_data where week_no <> (day + 8) // 7"
    assert value(db, wrong) == 0
    wrong = "select count(*) from transaction_data where trans_time % 100 > 59 or trans_time > 2359"
    assert value(db, wrong) == 0
    several = """
        select count(*) from (
            select basket_id from transaction_data group by 1
            having count(distinct (household_key, day, store_id, trans_time)) > 1
        )
    """
    assert value(db, several) == 0
    lines = "select count(*), count(distinct (basket_id, product_id)) from transaction_data"
    assert len(set(one(db, lines))) == 1
    assert one(db, "select min(week_no), max(week_no) from causal_data") == (9, 101)


def test_household_1_at_every_scale(sample, tiny, db):
    with connect(tiny[0]) as alone:
        for connection in (db, alone):
            known = "select count(*) from hh_demographic where household_key = 1"
            assert value(connection, known) == 1
            days = "select count(distinct day) from in_scope where household_key = 1"
            assert value(connection, days) > 50
            redeemed = "select count(*) from coupon_redempt where household_key = 1"
            assert value(connection, redeemed) > 0
        assert values(alone, "select household_key from transaction_data") == {1}


# --- oddities ---


def test_oddities_of_the_real_data(db):
    blank = "select count(*) from product where department = ' ' and commodity_desc = ' '"
    assert value(db, blank) == 15
    assert value(db, "select count(*) from product where commodity_desc = 'CHRISTMAS  SEASONAL'")
    odd = one(
        db,
        """
        select
            avg((quantity = 0)::int), avg((sales_value = 0)::int), avg((retail_disc > 0)::int)
        from transaction_data
        """,
    )
    assert 0 < odd[2] < odd[0] < odd[1] < 0.02
    distinct = "select count(*) from (select distinct * from coupon)"
    assert value(db, distinct) == 124_548 - 5_164
    repeats, rows = one(
        db,
        """
        select count(*) - count(distinct (product_id, store_id, week_no)), count(*)
        from causal_data
        """,
    )
    assert 0 < repeats < rows / 1000
    assert value(db, "select count(*) from campaign_desc where end_day > 711") == 1
    gasoline = """
        select min(quantity), max(quantity), median(sales_value)
        from transaction_data inner join product using (product_id)
        where sub_commodity_desc = 'GASOLINE-REG UNLEADED'
    """
    least, most, paid = one(db, gasoline)
    assert least >= 1000
    assert 30_000 < most <= 45_475
    assert 10 < paid < 40


def test_prices_and_discounts(db):
    mean, discounted, single = one(
        db,
        """
        select avg(sales_value), avg((retail_disc < 0)::int), avg((quantity = 1)::int)
        from transaction_data
        """,
    )
    assert mean == pytest.approx(3.10, rel=0.1)
    assert 0.4 < discounted < 0.6
    assert 0.7 < single < 0.85
    assert value(db, "select max(coupon_match_disc) from transaction_data") <= 0
    unmatched = """
        select count(*) from transaction_data where coupon_match_disc < 0 and coupon_disc = 0
    """
    assert value(db, unmatched) == 0


# --- behaviour ---


def test_all_recency_classes(db):
    shares = dict(
        db.execute(
            """
            select
                case
                    when last <= 525 then 1 when last <= 615 then 2 when last <= 675 then 3
                    when last <= 700 then 4 else 5
                end,
                count(*) / sum(count(*)) over ()
            from (select max(day) as last from in_scope group by household_key)
            group by 1
            """
        ).fetchall()
    )
    assert sorted(shares) == [1, 2, 3, 4, 5]
    assert all(shares[recency] > 0.01 for recency in shares)
    assert shares[5] > 0.35


def test_households_buy_their_own_products_again(db):
    """Against the same lines with the products dealt out anew, which keeps their popularity."""
    db.execute(
        """
        create or replace temp table dealt as
        select bought.household_key, bought.day, dealt.product_id
        from (select *, row_number() over () as place from in_scope) as bought
        inner join (
            select product_id, row_number() over (order by hash(basket_id, product_id)) as place
            from in_scope
        ) as dealt using (place)
        """
    )
    again = """
        select avg((day > first)::int) from (
            select day, min(day) over (partition by household_key, product_id) as first from {}
        ) where day > 400
    """
    own, popular = value(db, again.format("in_scope")), value(db, again.format("dealt"))
    assert own > 0.5
    assert own > 2 * popular


def test_favourites_have_a_rhythm(db):
    """Gaps between purchases vary less within a household's product than between them."""
    within, between = one(
        db,
        """
        with gaps as (
            select household_key, product_id,
                day - lag(day) over (partition by household_key, product_id order by day) as gap
            from (select distinct household_key, product_id, day from in_scope)
        ),
        favourites as (
            select avg(ln(gap)) as mean, var_samp(ln(gap)) as variance
            from gaps where gap > 0
            group by household_key, product_id having count(*) >= 8
        )
        select avg(variance), var_samp(mean) + avg(variance) from favourites
        """,
    )
    assert within < 0.8 * between


def test_support_sells(db):
    """Units per week of products in a store with support, over weeks without it."""
    ratio = value(
        db,
        """
        with stores as (select distinct store_id from causal_data),
        sold as (
            select product_id, store_id, week_no, sum(quantity) as units
            from in_scope semi join stores using (store_id)
            where week_no between 16 and 101
            group by all
        ),
        supported as (
            select distinct product_id, store_id, week_no from causal_data
            where week_no between 16 and 101
        ),
        weeks as (select product_id, store_id, count(*) as on_weeks from supported group by all),
        units as (
            select sold.product_id, sold.store_id, sum(units) as all_units,
                coalesce(sum(units) filter (supported.week_no is not null), 0) as on_units
            from sold left join supported using (product_id, store_id, week_no)
            group by all
        )
        select
            (sum(on_units) / sum(all_units * on_weeks / 86))
            / (sum(all_units - on_units) / sum(all_units * (86 - on_weeks) / 86))
        from units inner join weeks using (product_id, store_id)
        """,
    )
    assert 1.2 < ratio < 2.5


def test_seasons(db):
    share = """
        select avg((commodity_desc = 'HALLOWEEN')::int)
        from transaction_data inner join product using (product_id) where {}
    """
    # DAY 1 is 23 March: October 2004 is from day 193, October 2005 from day 558.
    october = value(db, share.format("day between 193 and 223 or day between 558 and 588"))
    assert october > 5 * value(db, share.format("day between 300 and 480"))


def test_campaigns_reach_and_sell_as_planned(db):
    strangers = """
        select count(*) from coupon_redempt
        anti join campaign_table using (household_key, campaign)
    """
    assert value(db, strangers) == 0
    outside = """
        select count(*) from coupon_redempt inner join campaign_desc using (campaign)
        where day not between start_day and end_day
    """
    assert value(db, outside) == 0
    foreign = "select count(*) from coupon_redempt anti join coupon using (coupon_upc, campaign)"
    assert value(db, foreign) == 0
    keys = """
        select count(*), count(distinct (household_key, day, coupon_upc, campaign))
        from coupon_redempt
    """
    assert len(set(one(db, keys))) == 1
    on_a_line = """
        select avg((exists (
            select 1
            from transaction_data as bought
            inner join coupon using (product_id)
            where coupon.coupon_upc = redeemed.coupon_upc
                and coupon.campaign = redeemed.campaign
                and bought.household_key = redeemed.household_key
                and bought.day = redeemed.day
                and bought.coupon_disc < 0
        ))::int)
        from coupon_redempt as redeemed
    """
    assert 0.85 < value(db, on_a_line) < 1
    reach = dict(
        db.execute(
            """
            select campaign_desc.description, count(*) / count(distinct campaign)
            from campaign_table inner join campaign_desc using (campaign) group by 1
            """
        ).fetchall()
    )
    assert reach["TypeA"] > 4 * max(reach["TypeB"], reach["TypeC"])


def test_neighbours_share_tastes(db):
    """Households overlap more with their nearest neighbour than households do on average."""
    nearest, usual = one(
        db,
        """
        with common as (
            select product_id from in_scope group by 1
            having count(distinct household_key) between 3 and 40
        ),
        had as (
            select distinct household_key, product_id
            from in_scope semi join common using (product_id)
        ),
        many as (select household_key, count(*) as products from had group by 1),
        pairs as (
            select one.household_key as a, other.household_key as b, count(*) as shared
            from had as one inner join had as other using (product_id)
            where one.household_key <> other.household_key group by all
        ),
        alike as (
            select a, shared / sqrt(mine.products * theirs.products) as cosine
            from pairs
            inner join many as mine on mine.household_key = a
            inner join many as theirs on theirs.household_key = b
        )
        select avg(best), avg(mean) from (
            select max(cosine) as best, avg(cosine) as mean from alike group by a
        )
        """,
    )
    assert nearest > 1.8 * usual


# --- seeds ---


def test_committed_seeds_are_current(seeds):
    assert_seeds_are_committed(seeds, [f"raw_household__{name}.csv" for name in DATASETS])


def test_seeds_are_small(seeds):
    folder, rows = seeds
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
    assert max(rows.values()) < 1000


def test_seeds_have_the_declared_columns(seeds):
    for name, columns in declared_columns().items():
        ours = header(seeds[0] / f"raw_household__{name}.csv")
        assert [column.lower() for column in ours] == columns, name


def test_seeds_hold_every_reason_to_drop_a_line(seeds_db):
    def lines(condition):
        query = f"""
            select count(*) from transaction_data left join product using (product_id)
            where {condition}
        """
        return value(seeds_db, query)

    for condition in (
        "quantity = 0 and sales_value = 0",
        "quantity > 0 and sales_value = 0",
        "quantity = 0 and sales_value > 0",
        "day < 101",
        "day > 708",
        "sub_commodity_desc = 'GASOLINE-REG UNLEADED' and day between 101 and 708",
        "commodity_desc = ' '",
        "retail_disc > 0",
        "coupon_disc < 0",
    ):
        assert lines(condition) > 0, condition
    unknown = "commodity_desc is null"
    assert lines(unknown) == lines(f"product_id = {UNKNOWN_PRODUCT}") == UNKNOWN_PRODUCT_LINES
    one_day = """
        select count(*) from (
            select household_key from transaction_data inner join product using (product_id)
            where quantity > 0 and sales_value > 0 and day between 101 and 708
            group by 1 having count(distinct day) = 1
        )
    """
    assert value(seeds_db, one_day) > 0


def test_seeds_are_a_complete_retailer(seeds_db):
    for name in ("coupon", "causal_data"):
        lost = f"select count(*) from {name} anti join product using (product_id)"
        assert value(seeds_db, lost) == 0
    for name in ("hh_demographic", "campaign_table", "coupon_redempt"):
        strangers = f"select count(*) from {name} anti join transaction_data using (household_key)"
        assert value(seeds_db, strangers) == 0
    pairs = "select count(*) from coupon_redempt anti join {} using ({})"
    assert value(seeds_db, pairs.format("campaign_table", "household_key, campaign")) == 0
    assert value(seeds_db, pairs.format("coupon", "coupon_upc, campaign")) == 0
    assert value(seeds_db, "select count(*) from coupon_redempt") >= 10
    assert value(seeds_db, "select count(distinct campaign) from coupon") == 30
    repeated = "select count(*) > count(distinct (coupon_upc, product_id, campaign)) from coupon"
    assert value(seeds_db, repeated)
    repeated = "select count(*) > count(distinct (product_id, store_id, week_no)) from causal_data"
    assert value(seeds_db, repeated)
    supported = """
        select count(*) from in_scope
        semi join causal_data using (product_id, store_id, week_no)
    """
    assert value(seeds_db, supported) > 30
    assert value(seeds_db, "select count(*) from in_scope where household_key = 1") > 10
    assert value(seeds_db, "select count(*) from hh_demographic where household_key = 1") == 1


def test_seeds_show_every_kind_of_household(seeds_db):
    recency = """
        select distinct
            (last > 525)::int + (last > 615)::int + (last > 675)::int + (last > 700)::int
        from (select max(day) as last from in_scope group by household_key)
    """
    assert values(seeds_db, recency) == {0, 1, 2, 3, 4}
    kinds = {
        "age_desc": {"19-24", "25-34", "35-44", "45-54", "55-64", "65+"},
        "marital_status_code": {"A", "B", "U"},
        "homeowner_desc": {
            "Homeowner",
            "Unknown",
            "Renter",
            "Probable Renter",
            "Probable Owner",
        },
        "hh_comp_desc": {
            "2 Adults No Kids",
            "2 Adults Kids",
            "Single Female",
            "Single Male",
            "1 Adult Kids",
            "Unknown",
        },
        "kid_category_desc": {"None/Unknown", "1", "2", "3+"},
        "household_size_desc": {"1", "2", "3", "4", "5+"},
    }
    for column, expected in kinds.items():
        assert values(seeds_db, f"select {column} from hh_demographic") == expected, column
    assert value(seeds_db, "select count(distinct income_desc) from hh_demographic") == 12
    unknown = """
        select count(distinct household_key) from in_scope
        anti join hh_demographic using (household_key)
    """
    assert value(seeds_db, unknown) > 0
