"""What is said of a failed test shows what is wrong, and nobody's data."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.transform.dbt import NodeResult
from orchestration.transform.failures import describe_failures
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings

MEMBERS = """
create table members as select * from (values
    ('aine.canary@example.org', 'Cork', 7, 'Mug'), ('aine.canary@example.org', 'Cork', 8, null)
) as members(email, home, visits, promotion)
"""


def failed(tmp_path: Path, query: str, *, column: str | None = None, name: str = "checked") -> str:
    settings = Settings(data_dir=tmp_path)
    settings.data_dir.mkdir(exist_ok=True)
    with open_duckdb(settings.warehouse_path) as warehouse:
        warehouse.execute(MEMBERS)
    said = {"email": {"personal": True}, "home": {"personal": True}, "promotion": {}, "visits": {}}
    columns = {name: {"config": {"meta": meta}} for name, meta in said.items()}
    manifest: dict[str, Any] = {
        "nodes": {
            "model.pollux.members": {"columns": columns},
            f"test.pollux.{name}": {"column_name": column},
        },
        "sources": {},
        "parent_map": {f"test.pollux.{name}": ["model.pollux.members"]},
    }
    failure = NodeResult(f"test.pollux.{name}", "fail", 0.1, 2, "Got 2 results", query)
    return describe_failures(settings, None, [failure], manifest)


def test_rows_of_a_failed_test_show_what_is_not_personal(tmp_path: Path) -> None:
    text = failed(tmp_path, "select email, home, visits, promotion from members order by visits")
    assert text.splitlines() == [
        "test checked failed on 2 rows, the first of them:",
        "  email=(personal), home=(personal), visits=7, promotion=Mug",
        "  email=(personal), home=(personal), visits=8, promotion=None",
    ]


def test_column_that_a_test_names_itself_is_masked_where_it_may_be_personal(tmp_path: Path) -> None:
    query = "select email as unique_field, count(*) as n_records from members group by 1"
    assert "unique_field=(personal), n_records=2" in failed(tmp_path, query, column="email")


def test_text_under_another_name_is_masked_and_a_number_is_not(tmp_path: Path) -> None:
    text = failed(tmp_path, "select min(home) as place, sum(visits) as total from members")
    assert text.splitlines()[1:] == ["  place=(personal), total=15"]


def test_number_of_a_test_on_a_personal_column_is_masked(tmp_path: Path) -> None:
    query = "select 123 as value_field, 2 as n_records"
    assert "value_field=(personal), n_records=2" in failed(tmp_path, query, column="email")
    assert "value_field=123, n_records=2" in failed(tmp_path / "b", query, column="visits")


@pytest.mark.parametrize("status", ["error", "runtime error"])
def test_message_of_the_database_is_without_values(tmp_path: Path, status: str) -> None:
    message = "Conversion Error: Could not convert string 'Áine O'Canary' to INT32"
    failure = NodeResult("model.pollux.members", status, 0.1, 0, message, "")
    manifest: dict[str, Any] = {"nodes": {}, "sources": {}, "parent_map": {}}
    text = describe_failures(Settings(data_dir=tmp_path), None, [failure], manifest)
    assert text == (
        "model members could not run: Conversion Error: Could not convert string (personal) to "
        "INT32"
    )


def test_message_of_spark_is_without_its_stack(tmp_path: Path) -> None:
    message = "[X] too few\n\n    JVM stacktrace:\n    org.apache.spark.X\n\tat org.X.y(X.scala:1)"
    failure = NodeResult("model.pollux.members", "error", 0.1, 0, message, "")
    manifest: dict[str, Any] = {"nodes": {}, "sources": {}, "parent_map": {}}
    text = describe_failures(Settings(data_dir=tmp_path), None, [failure], manifest)
    assert text == "model members could not run: [X] too few"
