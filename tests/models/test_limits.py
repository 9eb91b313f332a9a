"""Models and indexes hold every value that types hold."""

import pytest
import yaml

from orchestration.load.declarations import read_datasets
from pollux.runtime.settings import PROJECT_DIR
from pollux.types import INTEGER_DIGITS, LABEL_LENGTH, MONEY_DIGITS
from tests.support.marts import declared_marts

INDEX_ROW = 2704
# Of every index row: its head, and a length before each text.
HEAD = 16
BYTES = {"bigint": 8, "integer": 4, "date": 4, "timestamp": 8, "boolean": 1}
BYTES |= {"decimal(18, 2)": 16, "double precision": 8}
MARTS = declared_marts()
INDEXES = [
    pytest.param(mart, columns, id=f"{mart['name']}: {', '.join(columns)}")
    for mart in MARTS
    for columns in [
        *(one["columns"] for one in mart["constraints"] if one["type"] == "primary_key"),
        *mart["config"]["meta"]["serving"]["indexes"],
    ]
]
# Written by models, not by files: a few words at most.
WORDS = {"segment_name", "segment", "frequency_segment", "recency_segment", "outcome", "dataset"}
WORDS |= {"support", "section", "joined_by", "conversion_type"}


@pytest.mark.parametrize(("mart", "columns"), INDEXES)
def test_the_longest_labels_fit_an_index_row_of_postgresql(mart, columns):
    types = {column["name"]: column["data_type"] for column in mart["columns"]}
    size = HEAD
    for name in columns:
        if types[name] == "text":
            size += 4 + (100 if name in WORDS else 4 * LABEL_LENGTH)
        else:
            size += BYTES[types[name]]
    assert size <= INDEX_ROW


def test_the_variables_of_the_models_are_the_limits_of_the_types():
    variables = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    assert variables["label_length"] == LABEL_LENGTH
    assert variables["money_digits"] == MONEY_DIGITS


def test_the_difference_of_two_integers_has_four_bytes():
    assert 2 * (10**INTEGER_DIGITS - 1) < 2**31


def test_a_million_amounts_fit_what_sums_are_cast_to():
    assert 10**6 * (10**MONEY_DIGITS - 1) < 10**16


def test_what_is_indexed_comes_from_columns_that_have_a_limit():
    """A text column of a file that a mart finds or sorts rows by is a label."""
    indexed = {name for one in INDEXES for name in one.values[1]}
    for dataset in read_datasets(PROJECT_DIR).values():
        if dataset.domain in {"events", "learned"} or dataset.format == "lines":
            continue
        for column in dataset.columns:
            if column.name in indexed | {"commodity_desc"}:
                assert column.type != "text", (dataset.name, column.name)
