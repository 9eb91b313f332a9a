"""The real files, and a full disk."""

import csv
import os
import shutil
import subprocess

import duckdb
import pytest

from orchestration.load import convert
from orchestration.load.errors import LoadError
from orchestration.load.run import load
from pollux.runtime.settings import Settings

pytestmark = pytest.mark.integration

ROWS = {
    "campaign_desc": 30,
    "campaign_table": 7_208,
    "causal_data": 99_999,
    "coupon": 124_548,
    "coupon_redempt": 2_318,
    "hh_demographic": 801,
    "product": 92_353,
    "transaction_data": 88_734,
}

VOUCHERS = """
sources:
  - name: customer
    tables:
      - name: voucher_assignments
        config: {meta: {load: {files: ["data.parquet.gzip", "vouchers*.csv"], format: parquet}}}
        columns:
          - {name: timestamp, data_type: timestamp}
          - {name: country_code, data_type: text}
          - {name: last_order_ts, data_type: timestamp}
          - {name: first_order_ts, data_type: timestamp}
          - {name: total_orders, data_type: text}
          - {name: voucher_amount, data_type: number}
"""


def test_every_row_of_the_household_files_lands(realdata, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("clean files need no careful look")

    monkeypatch.setattr(convert, "screen", never)
    settings = Settings(data_dir=tmp_path)
    folder = realdata / "complete_journey"
    report = load(settings, domain="household", from_=folder)
    assert {file.dataset: file.rows_landed for file in report.files} == ROWS
    for dataset, rows in ROWS.items():
        lines = (folder / f"{dataset}.csv").read_bytes().count(b"\n") - 1
        landed = settings.landing_dir / "household" / dataset / "*.parquet"
        assert duckdb.sql(f"SELECT count(*) FROM '{landed}'").fetchall()[0] == (rows,) == (lines,)
    (total,) = duckdb.sql(
        "SELECT sum(sales_value) "
        f"FROM '{settings.landing_dir}/household/transaction_data/*.parquet'"
    ).fetchall()[0]
    (plain,) = duckdb.sql(
        "SELECT sum(SALES_VALUE::DECIMAL(18, 2)) "
        f"FROM read_csv('{folder}/transaction_data.csv', all_varchar = true)"
    ).fetchall()[0]
    assert total == plain
    again = load(settings, domain="household", from_=folder)
    assert {file.outcome for file in again.files} == {"unchanged"}


def test_the_voucher_file_lands_alike_from_parquet_and_csv(realdata, tmp_path):
    staging = tmp_path / "models" / "staging" / "vouchers"
    staging.mkdir(parents=True)
    (staging / "_vouchers__sources.yml").write_text(VOUCHERS)
    source = realdata / "voucher_assignments" / "data.parquet.gzip"
    as_csv = tmp_path / "vouchers.csv"
    duckdb.sql(f"COPY (FROM read_parquet('{source}')) TO '{as_csv}'")
    landed = []
    for name, file in (("parquet", source), ("csv", as_csv)):
        settings = Settings(data_dir=tmp_path / name)
        report = load(settings, domain="customer", from_=file, project_dir=tmp_path)
        (count,) = duckdb.sql(f"SELECT count(*) FROM read_parquet('{source}')").fetchall()[0]
        assert (report.files[0].rows_landed, report.files[0].rows_rejected) == (count, 0)
        part = settings.landing_dir / "customer" / "voucher_assignments" / "*.parquet"
        landed.append(duckdb.sql(f"FROM '{part}' ORDER BY ALL").fetchall())
    assert landed[0] == landed[1]
    direct = duckdb.sql(
        "SELECT timestamp::TIMESTAMP, country_code, last_order_ts::TIMESTAMP, "
        "first_order_ts::TIMESTAMP, nullif(total_orders, ''), voucher_amount "
        f"FROM read_parquet('{source}') ORDER BY ALL"
    ).fetchall()
    assert landed[0] == direct


@pytest.mark.endurance
def test_text_that_looks_like_rows_lands_whole(tmp_path):
    """Above the size at which DuckDB splits a file among threads, wherever its blocks begin."""
    text = "1,2,3,4,5,6,7\n" * 18
    path = tmp_path / "product.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        places = "department", "brand", "commodity_desc", "sub_commodity_desc"
        writer.writerow(("product_id", "manufacturer", *places, "curr_size_of_product"))
        writer.writerows([i, 7, text[: i % 253], 'a "b"', "", text, "x"] for i in range(150_000))
    settings = Settings(data_dir=tmp_path / "data")
    assert load(settings, domain="household", from_=path).files[0].rows_landed == 150_000
    part = settings.landing_dir / "household" / "product" / "product.csv.parquet"
    assert duckdb.sql(
        f"""SELECT count(*), count(DISTINCT product_id), min(manufacturer), max(manufacturer),
            count(*) FILTER (length(coalesce(department, '')) = product_id % 253),
            min(sub_commodity_desc), max(sub_commodity_desc), min(brand), max(brand)
        FROM '{part}'"""
    ).fetchall() == [(150_000, 150_000, 7, 7, 150_000, text, text, 'a "b"', 'a "b"')]


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can only be mounted by root")
def test_a_full_disk_is_named_and_changes_nothing(realdata, tmp_path):
    data = tmp_path / "small"
    data.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(data)], check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount")
    try:
        settings = Settings(data_dir=data)
        load(
            settings, domain="household", from_=realdata / "complete_journey" / "coupon_redempt.csv"
        )
        with pytest.raises(LoadError, match=r"cannot be written|cannot write") as caught:
            load(settings, domain="household", from_=realdata / "complete_journey")
        assert "space" in str(caught.value).lower()
        folders = [path.name for path in (data / "landing" / "household").iterdir()]
        assert folders == ["coupon_redempt"]
    finally:
        subprocess.run(["umount", str(data)], check=True)
        shutil.rmtree(data)
