"""The same content under different names counts once; an empty file removes nothing."""

import gzip
from itertools import permutations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.load.errors import LoadError
from orchestration.load.twins import find_twins
from tests.orchestration.load.conftest import BEFORE, HEADER, numbered, only

CONTENT = HEADER + numbered(3)


def ids(shop):
    return [row[0] for row in shop.rows()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sales (1).csv", CONTENT),
        ("sales - Copy.csv", CONTENT),
        ("sales.csv.old", CONTENT),
        ("SALES-1.CSV", CONTENT),
        ("sales.csv.gz", gzip.compress(CONTENT)),
        ("sales.csv.gz.gz", gzip.compress(gzip.compress(CONTENT))),
        ("sales-bom.csv", b"\xef\xbb\xbf" + CONTENT),
    ],
)
@pytest.mark.parametrize("way", ["together", "before", "after"])
def test_a_twin_counts_once_and_is_named(shop, name, content, way):
    shop.write(CONTENT)
    twin = shop.write(content, name)
    if way == "together":
        reports = [shop.load(from_=twin.parent)]
    else:
        first = [shop.folder / "in" / "sales.csv", twin]
        reports = [shop.load(from_=path) for path in (first if way == "after" else first[::-1])]
    assert ids(shop) == [1, 2, 3]
    outcomes = {f.part: f.outcome for report in reports for f in report.files}
    kept, left = (name, "sales.csv") if way == "before" else ("sales.csv", name)
    assert outcomes == {kept: "landed", left: "twin"}
    (note,) = reports[-1].notes
    assert note.endswith(
        f"in/{left} holds the same as {kept} of sales, which counts once; it was left out"
    )
    # However often.
    assert {f.outcome for f in shop.load(from_=twin.parent).files} == {"unchanged", "twin"}
    assert ids(shop) == [1, 2, 3]


def test_a_file_that_becomes_a_twin_takes_its_old_rows_along(shop):
    shop.load(CONTENT)
    shop.load(BEFORE, "sales-2.csv")
    report = shop.load(CONTENT, "sales-2.csv")
    assert "and the 1 rows that had landed from it were removed" in report.notes[0]
    assert ids(shop) == [1, 2, 3]


def test_files_that_change_names_in_turn_all_land(shop):
    """As a log is rotated: yesterday's `sales.csv` is `sales.csv.1` today."""
    shop.load(CONTENT)
    shop.write(CONTENT, "sales.csv.1")
    shop.write(BEFORE)
    assert {f.outcome for f in shop.load(from_=shop.folder / "in").files} == {"landed", "replaced"}
    assert ids(shop) == [1, 2, 3, 7]


def test_what_replace_removes_is_no_twin(shop):
    shop.load(CONTENT)
    assert only(shop.load(CONTENT, "sales-new.csv", replace=True)).outcome == "landed"
    assert ids(shop) == [1, 2, 3]


def test_the_same_content_of_two_datasets_is_not_the_same(shop):
    shop.load(CONTENT)
    assert only(shop.load(CONTENT, "sales.txt")).outcome == "landed"


def test_a_sample_is_no_twin_of_what_is_real(shop):
    shop.load(CONTENT, "sales-sample.csv", sample=True)
    assert only(shop.load(CONTENT)).outcome == "landed"
    assert ids(shop) == [1, 2, 3]


KEYS = st.sampled_from([("d", name) for name in ("a", "bb", "c", "ddd")])
CONTENTS = st.sampled_from(["x", "y", "z"])


@given(st.dictionaries(KEYS, CONTENTS), st.dictionaries(KEYS, CONTENTS))
def test_every_content_counts_exactly_once(landed, arriving):
    """As long as the landing zone held each once before."""
    landed = {
        key: c for n, (key, c) in enumerate(landed.items()) if c not in [*landed.values()][:n]
    }
    staying = [key for key in landed if key not in arriving]
    twins = find_twins(arriving, landed, staying)
    holding = [landed[key] for key in staying]
    holding += [content for key, content in arriving.items() if key not in twins]
    assert sorted(holding) == sorted({*arriving.values(), *(landed[key] for key in staying)})
    for (dataset, _), holder in twins.items():
        assert (dataset, holder) not in twins
    for order in permutations(arriving):
        assert find_twins({key: arriving[key] for key in order}, landed, staying) == twins


# --- a file without rows takes none away ---


def empty(shop, kind):
    name = "sales.csv"
    content = {"header": HEADER, "no line end": HEADER.strip(), "gzip": gzip.compress(HEADER)}
    if kind == "parquet":
        path = shop.folder / "in" / name
        duckdb.sql(f"COPY (SELECT 1 AS id, 'x' AS name, 1 AS amount WHERE false) TO '{path}' "
                   "(FORMAT parquet)")  # fmt: skip
        return path
    return shop.write(content[kind], name)


@pytest.mark.parametrize("kind", ["header", "no line end", "gzip", "parquet"])
def test_a_file_without_rows_takes_none_away(shop, kind):
    shop.load(CONTENT)
    path = empty(shop, kind)
    with pytest.raises(LoadError) as caught:
        shop.load(from_=path)
    assert str(caught.value) == (
        f"{path} holds no row that lands, but 3 landed from it before; nothing changed. To remove "
        "them, load it with --allow-empty"
    )
    assert ids(shop) == [1, 2, 3]
    assert only(shop.load(from_=path, allow_empty=True)).outcome == "replaced"
    assert ids(shop) == []


def test_a_file_of_rejects_alone_takes_none_away(shop):
    shop.load(CONTENT)
    shop.settings = shop.settings.model_copy(update={"reject_limit_percent": 100})
    with pytest.raises(LoadError, match="holds no row that lands, but 3 landed"):
        shop.load(HEADER + b"x,,\n")
    assert ids(shop) == [1, 2, 3]


def test_a_delivery_without_rows_removes_no_sample_and_nothing_by_replace(shop):
    shop.load(CONTENT, "sales-sample.csv", sample=True)
    with pytest.raises(LoadError, match="no row that lands, but 3 rows of sales would go"):
        shop.load(HEADER)
    assert ids(shop) == [1, 2, 3]
    shop.load(BEFORE)
    with pytest.raises(LoadError, match="no row that lands, but 1 rows of sales would go"):
        shop.load(HEADER, "sales-2.csv", replace=True)
    assert ids(shop) == [7]
    assert only(shop.load(HEADER, "sales-2.csv", replace=True, allow_empty=True)).rows_landed == 0
    assert ids(shop) == []


def test_a_day_without_sales_lands(shop):
    """A new file takes nothing away."""
    shop.load(CONTENT)
    assert only(shop.load(HEADER, "sales-2.csv")).outcome == "landed"
    assert ids(shop) == [1, 2, 3]
