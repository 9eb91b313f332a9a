"""dbt as Pollux runs it: its messages, and how it replaces tables and views on DuckDB."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.transform.dbt import PROGRAM, dbt_command
from tests.conftest import PROJECT_DIR
from tests.support.projects import run_dbt

pytestmark = pytest.mark.integration

PROJECT = """\
name: tiny
version: "1.0.0"
config-version: 2
profile: pollux
flags: {send_anonymous_usage_stats: false}
"""
CONTRACT = """\
models:
  - name: one
    config: {contract: {enforced: true}}
    constraints: [{type: primary_key, columns: [a, b]}]
    columns: [{name: a, data_type: integer}, {name: b, data_type: integer}]
"""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_messages_are_those_of_the_level_that_is_asked_for(tmp_path: Path, level: str) -> None:
    places = {"POLLUX_DATA_DIR": tmp_path, "DBT_TARGET_PATH": tmp_path, "DBT_LOG_PATH": tmp_path}
    done = subprocess.run(
        dbt_command("debug", "--log-level", level, target="dev"),
        env=os.environ | {name: str(path) for name, path in places.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    said = [json.loads(line)["info"] for line in done.stdout.splitlines()]
    assert {one["level"] for one in said} == {"info", level}
    assert all(one["msg"] or one["name"] == "Formatting" for one in said)


def tiny_project(folder: Path) -> Path:
    project = folder / "project"
    for part in ("macros/duckdb", "profiles"):
        shutil.copytree(PROJECT_DIR / part, project / part)
    shutil.copy(PROJECT_DIR / "macros" / "contracts.sql", project / "macros")
    (project / "dbt_project.yml").write_text(PROJECT)
    (project / "models").mkdir()
    return project


def test_a_project_that_was_read_is_run_when_told(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    (project / "models" / "one.sql").write_text("select 1 as a")
    command = [sys.executable, "-P", str(PROGRAM), "run", "--when-told", "--quiet"]
    command += ["--project-dir", str(project), "--profiles-dir", str(project / "profiles")]

    def run(word: str | None) -> tuple[int, bool]:
        """The exit code, and whether the model was made, with this word or with none."""
        with subprocess.Popen(
            command,
            env=os.environ | {"POLLUX_DATA_DIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            process.communicate(word, timeout=60)
        assert (project / "target" / "manifest.json").exists(), "the project was not read"
        with duckdb.connect(tmp_path / "dev.duckdb") as warehouse:
            found = warehouse.sql("select * from information_schema.tables").fetchall()
        return process.returncode, bool(found)

    code, is_made = run(None)
    assert code != 0
    assert not is_made
    assert run("\n") == (0, True)


def test_a_model_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path))
    project = tiny_project(tmp_path)

    def run(kind: str, sql: str) -> tuple[bool, str, int]:
        """Whether it succeeded, and what is there then: kind of relation, and its value."""
        model = "{{ config(materialized='" + kind + "') }} " + sql
        (project / "models" / "one.sql").write_text(model)
        ran = run_dbt(project, "run")
        with duckdb.connect(tmp_path / "dev.duckdb") as warehouse:
            tables = warehouse.sql(
                "select table_name, table_type from information_schema.tables"
            ).fetchall()
            assert [name for name, _ in tables] == ["one"], "something was left beside it"
            values = warehouse.sql("select a from dev.dev.one").fetchall()
        return ran.success, tables[0][1], values[0][0]

    assert run("table", "select 1 as a") == (True, "BASE TABLE", 1)
    assert run("table", "select 2 as a") == (True, "BASE TABLE", 2)
    assert run("view", "select 3 as a") == (True, "VIEW", 3)
    assert run("view", "select 4 as a") == (True, "VIEW", 4)
    assert run("table", "select 5 as a") == (True, "BASE TABLE", 5)
    fails = "select cast(b as integer) as a from (values ('x')) as given(b)"
    assert run("table", fails) == (False, "BASE TABLE", 5)
    assert run("view", "select a from missing") == (False, "BASE TABLE", 5)
    (project / "models" / "one.yml").write_text(CONTRACT)
    assert run("table", "select 6 as a, 1 as b union all select 6, 2") == (True, "BASE TABLE", 6)
    for broken in ("7 as a, 1 as b union all select 7, 1", "7 as a, cast(null as integer) as b"):
        assert run("table", f"select {broken}") == (False, "BASE TABLE", 6)
