"""What a failure means for a domain, and what a domain serves, from a handmade manifest."""

from typing import Any

from orchestration.transform.dbt import DbtRun, NodeResult
from orchestration.transform.graph import (
    data_tests_of,
    domains,
    failures_of,
    served_tables,
    warnings_of,
)


def mart(domain: str, name: str) -> dict[str, Any]:
    return {
        "unique_id": f"model.pollux.{name}",
        "resource_type": "model",
        "name": name,
        "fqn": ["pollux", "marts", domain, name],
        "database": "warehouse",
        "schema": "warehouse_marts",
        "description": f"One row\nper {name}.\n",
        "config": {"meta": {"serving": {"indexes": [["b", "a"]]}}},
        "constraints": [{"type": "primary_key", "columns": ["a"]}],
        "columns": {
            "a": {
                "data_type": "bigint",
                "description": "",
                "constraints": [],
                "config": {"meta": {}},
            },
            "b": {
                "data_type": "text",
                "description": 'Größe, "quoted".',
                "constraints": [{"type": "not_null"}],
                "config": {"meta": {"example": "S-XL"}},
            },
        },
    }


def data_test(name: str, attached_node: str | None = None) -> dict[str, Any]:
    return {
        "unique_id": f"test.pollux.{name}",
        "resource_type": "test",
        "attached_node": attached_node,
    }


# One staging model feeds both domains; `loyal` reads a mart of `shop`; `other` stands alone.
MANIFEST = {
    "nodes": {
        node["unique_id"]: node
        for node in (
            mart("shop", "sales"),
            mart("loyal", "members"),
            mart("other", "things"),
            data_test("unique_stg", "model.pollux.stg"),
            data_test("sales_and_things"),
            data_test("members_are_in_sales", "model.pollux.members"),
            data_test("things_positive", "model.pollux.things"),
        )
    },
    "parent_map": {
        "model.pollux.sales": ["model.pollux.stg"],
        "model.pollux.members": ["model.pollux.sales"],
        "model.pollux.things": ["model.pollux.stg_other"],
        "test.pollux.unique_stg": ["model.pollux.stg"],
        "test.pollux.sales_and_things": ["model.pollux.sales", "model.pollux.things"],
        "test.pollux.members_are_in_sales": ["model.pollux.members", "model.pollux.sales"],
        "test.pollux.things_positive": ["model.pollux.things"],
    },
}


def blocked_by(unique_id: str, status: str = "fail") -> set[str]:
    result = NodeResult(unique_id, status, 0.1, 1, "", "")
    run = DbtRun("id", (result,), MANIFEST)
    return {domain for domain in domains(MANIFEST) if failures_of(run, domain)}


def test_failure_blocks_its_domain_and_those_that_use_it() -> None:
    assert domains(MANIFEST) == ("loyal", "other", "shop")
    assert blocked_by("test.pollux.unique_stg") == {"shop", "loyal"}
    assert blocked_by("model.pollux.stg", "error") == {"shop", "loyal"}
    assert blocked_by("model.pollux.members", "error") == {"loyal"}
    assert blocked_by("test.pollux.members_are_in_sales") == {"loyal"}
    assert blocked_by("test.pollux.things_positive") == {"other"}
    assert blocked_by("test.pollux.sales_and_things") == {"shop", "loyal", "other"}


def test_warning_or_skip_alone_blocks_nothing() -> None:
    assert blocked_by("test.pollux.unique_stg", "warn") == set()
    assert blocked_by("test.pollux.unique_stg", "pass") == set()


def test_warning_is_told_in_the_words_of_its_test() -> None:
    node = data_test("orders_known") | {"description": "Lines of an unknown order are left out."}
    manifest = MANIFEST | {"nodes": {node["unique_id"]: node}}
    results = tuple(
        NodeResult(node["unique_id"], status, 0.1, 1234, "", "") for status in ("warn", "pass")
    )
    assert warnings_of(DbtRun("id", results, manifest)) == (
        "Lines of an unknown order are left out: 1,234.",
    )


def test_warning_of_a_test_without_a_description_has_its_name() -> None:
    node = data_test("orders_known") | {"description": "", "name": "orders_known"}
    manifest = MANIFEST | {"nodes": {node["unique_id"]: node}}
    result = NodeResult(node["unique_id"], "warn", 0.1, 2, "", "")
    assert warnings_of(DbtRun("id", (result,), manifest)) == ("orders_known: 2.",)


def test_served_table_is_its_contract() -> None:
    (table,) = served_tables(MANIFEST, "shop")
    assert (table.name, table.key, table.indexes) == ("sales", ("a",), (("b", "a"),))
    assert [(c.name, c.data_type, c.is_required) for c in table.columns] == [
        ("a", "bigint", False),
        ("b", "text", True),
    ]
    assert (table.domain, table.description) == ("shop", "One row per sales.")
    assert [(c.description, c.example) for c in table.columns] == [
        ("", None),
        ('Größe, "quoted".', "S-XL"),
    ]
    assert [table.may_be_null(name) for name in ("a", "b")] == [False, False]


def test_a_domain_has_the_tests_of_all_that_it_is_made_of() -> None:
    unique, singular, other = (
        data_test("unique_stg", "model.pollux.stg")
        | {
            "name": "unique_stg_a",
            "description": "",
            "column_name": "a",
            "raw_code": "{{ test_unique(**_dbt_generic_test_kwargs) }}",
            "test_metadata": {"name": "unique"},
        },
        data_test("sales_and_things")
        | {
            "name": "assert_sales_are_things",
            "description": "",
            "raw_code": "-- Fails if a sale\n-- is no thing.\nwith a as (select 1 -- one\n)\n",
        },
        data_test("members_are_in_sales", "model.pollux.members")
        | {"name": "members", "description": "Members who\nbought nothing.", "raw_code": ""},
    )
    manifest = {
        **MANIFEST,
        "nodes": MANIFEST["nodes"] | {one["unique_id"]: one for one in (unique, singular, other)},
    }
    statuses = [(unique, "pass", 0), (singular, "fail", 2), (other, "warn", 3)]
    results = tuple(
        NodeResult(one["unique_id"], status, 0.1, rows, "", "") for one, status, rows in statuses
    )
    run = DbtRun("1", results, manifest)
    shop = [
        (t.name, t.kind, t.model, t.column, t.status, t.rows) for t in data_tests_of(run, "shop")
    ]
    # Members are not what `shop` is made of.
    assert shop == [
        ("assert_sales_are_things", None, None, None, "failed", 2),
        ("unique_stg_a", "unique", "stg", "a", "passed", 0),
    ]
    words = {test.name: (test.description, test.status) for test in data_tests_of(run, "loyal")}
    assert words["members"] == ("Members who bought nothing.", "warned")
    assert words["assert_sales_are_things"][0] == "Fails if a sale is no thing."
    assert words["unique_stg_a"][0] == ""
