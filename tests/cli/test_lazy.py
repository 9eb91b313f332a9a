"""What a command imports: no more than it needs, so that it answers at once."""

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from cli.app import COMMANDS, app
from cli.lazy import help_of
from tests.conftest import PROJECT_DIR

LIST = """
import sys
of_python = set(sys.modules)
import atexit, json
atexit.register(lambda: print(json.dumps(sorted({{*sys.modules}} - of_python)), file=sys.stderr))
sys.argv = ["pollux", {argument!r}]
from pollux.command import main
main()
"""
SETTINGS = {"annotated_types", "pydantic", "pydantic_core", "pydantic_settings"}
SETTINGS |= {"dotenv", "typing_extensions", "typing_inspection"}
COMMAND = {"annotated_doc", "shellingham", "typer"}
READ = {"filelock", "psutil", "psycopg", "psycopg_binary", "yaml", "_yaml"}


@pytest.mark.parametrize(
    ("argument", "commands", "packages"),
    [("--help", set(), COMMAND), ("status", {"release"}, COMMAND | SETTINGS | READ | {"rich"})],
)
def test_a_command_imports_what_it_needs(
    tmp_path: Path, argument: str, commands: set[str], packages: set[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST.format(argument=argument)],
        env=os.environ | {"POLLUX_DATA_DIR": str(tmp_path)},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules = json.loads(done.stderr.splitlines()[-1])
    found = {name.partition("cli.commands.")[2] for name in modules} - {""}
    assert found == commands
    installed = packages_distributions().keys() - {"cli", "orchestration", "pollux"}
    assert {name.partition(".")[0] for name in modules} & installed <= packages


def test_a_build_imports_no_dagster() -> None:
    code = "import sys, orchestration.chain; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True
    )
    assert not {"dagster", "dbt", "sqlalchemy"} & set(done.stdout.split())


def test_the_help_of_each_command_is_its_own() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    assert list(group.commands) == list(COMMANDS)
    for name, place in COMMANDS.items():
        assert help_of(place) == group.commands[name].help, name
