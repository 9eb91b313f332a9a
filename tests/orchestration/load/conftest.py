"""A shop whose files the tests load."""

import csv

import duckdb
import pytest

from orchestration.load.run import load
from pollux.runtime.settings import Settings

YAML = """
sources:
  - name: shop
    tables:
      - name: sales
        config: {meta: {load: {files: ["sales*.csv*", "sales*.parquet*"], format: csv}}}
        columns:
          - {name: id, data_type: integer}
          - {name: name, data_type: text, config: {meta: {personal: false}}}
          - {name: amount, data_type: money}
      - name: notes
        config: {meta: {load: {files: ["*.txt"], format: lines}}}
        columns: [{name: line, data_type: text}]
      - name: typed
        config: {meta: {load: {files: ["typed*"], format: parquet}}}
        columns:
          - {name: n, data_type: number}
          - {name: b, data_type: boolean}
          - {name: d, data_type: date}
          - {name: t, data_type: timestamp}
  - name: other
    tables:
      - name: sales
        config: {meta: {load: {files: ["*"], format: csv}}}
        columns: [{name: id, data_type: integer}]
"""
HEADER = b"id,name,amount\n"
BEFORE = HEADER + b"7,before,7.00\n"


def numbered(count, start=1):
    return b"".join(b"%d,name,1.50\n" % i for i in range(start, start + count))


class Shop:
    def __init__(self, folder):
        self.folder = folder
        self.settings = Settings(data_dir=folder / "data")
        staging = folder / "models" / "staging" / "shop"
        staging.mkdir(parents=True)
        (staging / "_shop__sources.yml").write_text(YAML)

    def write(self, content, name="sales.csv"):
        path = self.folder / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def load(self, content=None, name="sales.csv", **more):
        from_ = more.pop("from_", None) or self.write(content, name)
        more = {"domain": "shop", **more}
        return load(self.settings, from_=from_, project_dir=self.folder, **more)

    def rows(self, dataset="sales"):
        files = self.settings.landing_dir / "shop" / dataset / "*.parquet"
        return duckdb.sql(f"FROM read_parquet('{files}') ORDER BY ALL").fetchall()

    def rejects(self, part="sales.csv", dataset="sales"):
        path = self.settings.rejects_dir / "shop" / dataset / f"{part}.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [tuple(row.values()) for row in csv.DictReader(file)]


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def only(report):
    (file,) = report.files
    return file
