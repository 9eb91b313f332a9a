"""The lint asks of every column that looks personal whether it is, and names file and column."""

from typing import Any

import pytest

from orchestration.transform.personal import PersonalError, check_personal

KINDS = "household, customer, member, account"
ADD = "add config.meta.personal, true or false"


def table(unique_id: str, columns: dict[str, dict[str, Any]], *parents: str) -> dict[str, Any]:
    kind, name = unique_id.split(".")
    columns = {column: {"config": {"meta": meta}} for column, meta in columns.items()}
    return {
        "unique_id": unique_id,
        "name": name,
        "original_file_path": f"models/{name}.{'yml' if kind == 'source' else 'sql'}",
        "patch_path": f"pollux://models/{name}.yml" if kind == "model" else None,
        "columns": columns,
        "parents": list(parents),
    }


def faults(*tables: dict[str, Any]) -> list[str]:
    by_id = {one["unique_id"]: one for one in tables}
    manifest = {
        "nodes": {key: one for key, one in by_id.items() if not key.startswith("source")},
        "sources": {key: one for key, one in by_id.items() if key.startswith("source")},
        "parent_map": {key: one["parents"] for key, one in by_id.items()},
    }
    try:
        check_personal(manifest)
    except PersonalError as error:
        return str(error).splitlines()
    return []


def test_columns_that_say_it_or_do_not_look_like_it_are_fine() -> None:
    said = {
        "email": {"personal": True, "identifies": "member"},
        "name": {"personal": False},
        "total": {},
    }
    assert faults(table("source.raw", said), table("model.stg", said, "source.raw")) == []


@pytest.mark.parametrize(
    ("column", "meta", "words"),
    [
        ("email", {}, f"looks like personal data: {ADD}"),
        ("email", {"personal": "yes"}, "has 'yes' as config.meta.personal: write true or false"),
        (
            "customer_id",
            {"personal": True},
            f"looks like an id: add config.meta.identifies, one of {KINDS}",
        ),
        (
            "email",
            {"personal": True, "identifies": "dog"},
            f"identifies 'dog': write one of {KINDS}",
        ),
        (
            "number",
            {"identifies": "member"},
            "has config.meta.identifies, and not personal: true",
        ),
        (
            "number",
            {"personal": False, "identifies": "member"},
            "has config.meta.identifies: write personal: true",
        ),
    ],
)
def test_fault_says_what_to_write(column: str, meta: dict[str, Any], words: str) -> None:
    assert faults(table("source.raw", {column: meta})) == [f"models/raw.yml: raw.{column} {words}"]
    assert faults(table("model.stg", {column: meta})) == [f"models/stg.yml: stg.{column} {words}"]


def test_column_is_as_personal_as_where_it_comes_from() -> None:
    raw = table("source.raw", {"line": {"personal": True, "identifies": "member"}})
    assert faults(raw, table("model.stg", {"line": {}}, "source.raw")) == [
        f"models/stg.yml: stg.line is personal data where it comes from: {ADD}"
    ]
    assert faults(raw, table("model.stg", {"line": {"personal": True}}, "source.raw")) == [
        "models/stg.yml: stg.line is an id where it comes from: add config.meta.identifies: member"
    ]
    assert faults(raw, table("model.stg", {"line": {"personal": False}}, "source.raw")) == []
    assert faults(raw, table("model.other", {"line": {}})) == []
