"""The file of contracts is written from the manifest, and a stale one is noticed."""

import json
import sys
from pathlib import Path

import pytest

from orchestration.transform.contracts import main
from pollux.contracts import Column, Contract, read_contracts

MANIFEST = {
    "nodes": {
        "model.pollux.sales": {
            "resource_type": "model",
            "name": "sales",
            "fqn": ["pollux", "marts", "shop", "sales"],
            "schema": "marts",
            "patch_path": "pollux://sales.yml",
            "description": "One row per sale.",
            "config": {
                "materialized": "table",
                "contract": {"enforced": True},
                "meta": {"serving": {"indexes": [["day"]]}},
            },
            "constraints": [{"type": "primary_key", "columns": ["number"]}],
            "columns": {
                "number": {
                    "data_type": "bigint",
                    "description": "Sale.",
                    "constraints": [],
                    "config": {"meta": {"example": 7, "personal": True, "identifies": "customer"}},
                },
                "day": {
                    "data_type": "date",
                    "description": "Day – or “none”.",  # noqa: RUF001
                    "constraints": [],
                    "config": {"meta": {}},
                },
            },
        }
    },
    "sources": {
        "source.pollux.shop.sales": {"source_name": "shop", "config": {"meta": {"load": {}}}}
    },
}
SALES = Contract(
    domain="shop",
    name="sales",
    description="One row per sale.",
    columns=(
        Column(
            name="number",
            data_type="bigint",
            is_required=False,
            description="Sale.",
            example=7,
            personal=True,
            identifies="customer",
        ),
        Column(
            name="day",
            data_type="date",
            is_required=False,
            description="Day – or “none”.",  # noqa: RUF001
            personal=False,
        ),
    ),
    key=("number",),
    indexes=(("day",),),
)


def test_file_holds_the_contracts_until_the_yaml_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, file = tmp_path / "manifest.json", tmp_path / "contracts.json"
    manifest.write_text(json.dumps(MANIFEST))

    def run(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["contracts", str(manifest), str(file), *more])
        return main()

    assert run("--check") == 1
    assert run() == 0
    assert read_contracts(file.read_bytes()) == (SALES,)
    assert run("--check") == 0
    capsys.readouterr()
    manifest.write_text(json.dumps(MANIFEST).replace("Sale.", "A sale."))
    assert run("--check") == 1
    assert capsys.readouterr().err == f"{file} is not what the models' YAML says: make contracts\n"
