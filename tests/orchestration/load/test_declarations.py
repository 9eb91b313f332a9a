"""The source YAML as the loader reads it."""

import pytest

from orchestration.load.column_rules import Rules
from orchestration.load.declarations import Column, read_datasets
from orchestration.load.errors import LoadError
from pollux.runtime.settings import PROJECT_DIR

GOOD = """
sources:
  - name: shop
    config: {meta: {external_location: "{{ env_var('X') }}/{name}"}}
    tables:
      - name: sales
        config: {meta: {load: {files: [Sales*.csv, old.csv], format: csv, key: [id]}}}
        columns:
          - {name: id, data_type: integer}
          - {name: amount, data_type: money}
      - name: computed_elsewhere
"""
TWICE = """- name: sales
        config: {meta: {load: {files: [x]}}}
        columns: [{name: a, data_type: text}]"""


def write(tmp_path, text, source="shop"):
    folder = tmp_path / "models" / "staging" / source
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"_{source}__sources.yml").write_text(text)
    return tmp_path


def test_reads_files_format_key_and_columns(tmp_path):
    datasets = read_datasets(write(tmp_path, GOOD))
    assert list(datasets) == [("shop", "sales")]
    sales = datasets["shop", "sales"]
    assert (sales.files, sales.format, sales.key) == (("Sales*.csv", "old.csv"), "csv", ("id",))
    assert sales.columns == (Column("id", "integer"), Column("amount", "money"))
    assert sales.matches("sales-2024.CSV")
    assert not sales.matches("resales.csv")


def test_a_table_of_a_service_has_no_files_and_says_whom_it_feeds(tmp_path):
    table = GOOD.replace("files: [Sales*.csv, old.csv], format: csv", "format: table, feeds: [zoo]")
    sales = read_datasets(write(tmp_path, table))["shop", "sales"]
    assert (sales.files, sales.format, sales.feeds) == ((), "table", ("zoo",))
    assert not sales.matches("sales.csv")


def test_rules_of_a_column_are_among_what_it_says_of_itself(tmp_path):
    rules = "money, config: {meta: {required: true, min_value: 0, max_value: 9, owner: me}}"
    sales = read_datasets(write(tmp_path, GOOD.replace("money", rules)))["shop", "sales"]
    assert sales.columns[1].rules == Rules(required=True, min_value=0, max_value=9)
    assert sales.columns[0].rules == Rules()


def test_the_projects_own_declarations_are_read():
    transactions = read_datasets(PROJECT_DIR)["household", "transaction_data"]
    assert len(transactions.columns) == 12
    assert not read_datasets(PROJECT_DIR)["household", "coupon"].matches("coupon_redempt.csv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data_type: money", "data_type: decimal", "sales.amount: unknown data_type 'decimal'"),
        (", data_type: money", "", "shop.sales.amount: data_type must be a text, not None"),
        ("format: csv", "format: xlsx", "unknown format 'xlsx'; use csv, parquet, lines"),
        ("files: [Sales*.csv, old.csv]", "files: []", "shop.sales: no file patterns"),
        ("files: [Sales*.csv, old.csv], ", "", "shop.sales: no file patterns"),
        ("format: csv", "format: table", "shop.sales: format table comes from no files"),
        ("format: csv", "format: csv, feeds: 3", "shop.sales: feeds must be a list"),
        ("old.csv]", "'{{ x }}']", "shop.sales: files may not hold Jinja"),
        ("key: [id]", "key: [ident]", "key column ident is not among the columns"),
        ("name: amount", "name: ID", "column id is declared twice"),
        (
            "data_type: integer",
            "data_type: integer, config: {meta: {values: [a]}}",
            "sales.id: values are for texts, not for integer",
        ),
        (
            "data_type: integer",
            "data_type: integer, config: {meta: {required: 1}}",
            "sales.id: required must be true or false",
        ),
        (
            "data_type: integer",
            "data_type: integer, config: {meta: {min_value: low}}",
            "sales.id: min_value must be a whole number, of a column of numbers",
        ),
        (
            "data_type: integer",
            "data_type: date, config: {meta: {max_value: 3}}",
            "sales.id: max_value must be a whole number, of a column of numbers",
        ),
        ("format: csv", "format: lines", "format lines needs one column of type text"),
        ("sources:", "sources: [", "is not YAML"),
        ("- name: computed_elsewhere", TWICE, "shop.sales is declared twice"),
    ],
)
def test_a_wrong_declaration_is_a_clear_error(tmp_path, old, new, message):
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(LoadError) as caught:
        read_datasets(tmp_path)
    assert message in str(caught.value)
    assert "_shop__sources.yml" in str(caught.value)


def test_a_dataset_declared_in_two_files_is_an_error(tmp_path):
    write(tmp_path, GOOD)
    write(tmp_path, GOOD, "zoo")
    with pytest.raises(LoadError, match=r"_zoo__sources.yml: shop.sales is declared twice"):
        read_datasets(tmp_path)
