"""A message names a mart that cannot be released, with file and line, and says what to write."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.transform.contracts import main
from orchestration.transform.graph import served_tables
from orchestration.transform.marts import IN_YAML, MartError, check_marts
from services.common.contracts import TYPES as SERVED_TYPES

GOOD = """\
version: 2

models:
  - name: visits
    description: One row per day.
    config:
      meta:
        serving:
          indexes: [[shop, day]]
    constraints:
      - type: primary_key
        columns: [day]
    columns:
      - name: day
        data_type: date
        description: Day.
      - name: shop
        data_type: text
        description: Shop.
"""
SQL = "models/marts/store/visits.sql"
YAML = "models/marts/store/visits.yml"
TYPES = "text, integer, bigint, decimal(p, s), double precision, boolean, date, timestamp"


def parsed(text: str, path: str = SQL, **changes: Any) -> dict[str, Any]:
    """What dbt's manifest says of such a model, as far as the check looks."""
    model = yaml.safe_load(text)["models"][0]
    folders = Path(path).parts[1:-1]
    node = {
        "resource_type": "model",
        "unique_id": "model.pollux.visits",
        "name": "visits",
        "description": model["description"],
        "schema": "warehouse_marts",
        "fqn": ["pollux", *folders, "visits"],
        "original_file_path": path,
        "patch_path": f"pollux://{YAML}",
        "config": {
            "materialized": "table",
            "contract": {"enforced": True},
            "meta": {},
            **model.get("config", {}),
        },
        "constraints": model.get("constraints", []),
        "columns": {
            column["name"]: {
                "data_type": None,
                "constraints": [],
                "description": "",
                "config": {"meta": {}},
                **column,
            }
            for column in model.get("columns", [])
        },
    } | changes
    sources = {
        name: {"source_name": name, "config": {"meta": {"load": {"format": kind}}}}
        for name, kind in [
            ("store", "csv"),
            ("loyalty", "lines"),
            ("learned", "parquet"),
            ("events", "table"),
        ]
    }
    return {"nodes": {"model.pollux.visits": node}, "sources": sources}


def fault(folder: Path, text: str, **changes: Any) -> str:
    (folder / YAML).parent.mkdir(parents=True, exist_ok=True)
    (folder / YAML).write_text(text)
    with pytest.raises(MartError) as raised:
        check_marts(parsed(text, **changes), folder)
    return str(raised.value)


def test_mart_that_says_everything_is_fine(tmp_path: Path) -> None:
    check_marts(parsed(GOOD), tmp_path)
    without_indexes = GOOD.replace("indexes: [[shop, day]]", "indexes: []")
    check_marts(parsed(without_indexes), tmp_path)


@pytest.mark.parametrize(
    ("taken", "put", "line", "words"),
    [
        (
            "    constraints:\n      - type: primary_key\n        columns: [day]\n", "", 4,
            "has no primary key: add constraints with {type: primary_key, columns: [...]}",
        ),
        (
            "      meta:\n        serving:\n          indexes: [[shop, day]]\n",
            "      tags: []\n", 4,
            "does not say how it is served: add config.meta.serving with {indexes: []}",
        ),
        (
            "serving:\n          indexes: [[shop, day]]", "serving: true", 4,
            "does not say how it is served: add config.meta.serving with {indexes: []}",
        ),
        (
            "    config:\n", "    config:\n      contract: {enforced: false}\n", 4,
            "has no contract: take contract.enforced: false out",
        ),
        (
            "columns: [day]", "columns: [week]", 4,
            "names week in its primary key, and has no column of that name",
        ),
        (
            "[[shop, day]]", "[[shop, week]]", 4,
            "names week in its serving.indexes, and has no column of that name",
        ),
        (
            "[[shop, day]]", "[shop]", 4,
            "has shop in serving.indexes, which takes lists of columns: [[shop]]",
        ),
        (
            "        data_type: text\n", "", 17,
            f"does not say the type of shop: add data_type, one of {TYPES}",
        ),
        ("data_type: date", "data_type: hugeint", 14, f"has day as hugeint; types are {TYPES}"),
        ("data_type: date", "data_type: decimal", 14, f"has day as decimal; types are {TYPES}"),
        (
            "    config:\n", "    config:\n      materialized: view\n", 4,
            "is a view; a mart must be a table",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_line(
    tmp_path: Path, taken: str, put: str, line: int, words: str
) -> None:
    assert taken in GOOD
    assert fault(tmp_path, GOOD.replace(taken, put)) == f"{YAML}:{line}: visits {words}"


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        (
            {"patch_path": None}, f"{SQL}:1",
            f"has no YAML: write visits.yml beside it, with {IN_YAML}",
        ),
        (
            {"path": "models/marts/visits.sql"}, f"{YAML}:4",
            "lies in no domain: move it to models/marts/<domain>, one of loyalty, store",
        ),
        (
            {"path": "models/marts/shops/visits.sql"}, f"{YAML}:4",
            "lies in shops, which no dataset is declared for; domains are loyalty, store",
        ),
    ],
)  # fmt: skip
def test_mart_in_the_wrong_place(
    tmp_path: Path, changes: dict[str, Any], where: str, words: str
) -> None:
    assert fault(tmp_path, GOOD, **changes) == f"{where}: visits {words}"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("data_type: date", "data_type: json").replace(
        "type: primary_key", "type: unique"
    )
    assert [line.partition(": ")[0] for line in fault(tmp_path, text).splitlines()] == [
        f"{YAML}:14",
        f"{YAML}:4",
    ]


def test_key_said_of_a_column_is_the_key(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    constraints:\n      - type: primary_key\n        columns: [day]\n", ""
    ).replace("description: Day.", "description: Day.\n        constraints: [type: primary_key]")
    manifest = parsed(text)
    check_marts(manifest, tmp_path)
    (table,) = served_tables(manifest, "store")
    assert table.key == ("day",)


def test_forgotten_serving_is_no_mart_less(tmp_path: Path) -> None:
    """It used to be left out of its release without a word."""
    manifest = parsed(GOOD)
    del manifest["nodes"]["model.pollux.visits"]["config"]["meta"]["serving"]
    (tmp_path / YAML).parent.mkdir(parents=True)
    (tmp_path / YAML).write_text(GOOD)
    with pytest.raises(MartError, match="does not say how it is served"):
        check_marts(manifest, tmp_path)


def test_writing_contracts_says_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(parsed(GOOD, patch_path=None)))
    monkeypatch.setattr("sys.argv", ["contracts", str(manifest), str(tmp_path / "contracts.json")])
    assert main() == 1
    assert f"{SQL}:1: visits has no YAML" in capsys.readouterr().err


def test_services_know_every_type_that_a_mart_may_have() -> None:
    named = TYPES.replace("decimal(p, s)", "decimal").split(", ")
    assert sorted(named) == sorted(SERVED_TYPES)
