"""The page about a mart of your own, followed literally: its files, its commands, its answer."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.conftest import PROJECT_DIR
from tests.services.api.support import client_of
from tests.support.projects import commands_of_page, copy_checkout, files_of_page, write_files

pytestmark = pytest.mark.endurance

PAGE = PROJECT_DIR / "docs/marts.md"
ANSWER = re.compile(r"^    (\{\"data\".*?\"next\":null\})$", re.MULTILINE | re.DOTALL)


def run(command: str, checkout: Path, data_dir: Path) -> None:
    arguments = shlex.split(command)
    assert arguments[0] == ".venv/bin/pollux"
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments[1:]],
        cwd=checkout,
        env=os.environ | {"POLLUX_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_data_of_ones_own_are_served_with_sql_and_yaml_alone(
    tmp_path: Path, short_tmp: Path
) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    write_files(checkout, files_of_page(PAGE))
    settings = Settings(data_dir=short_tmp / "visits")
    *commands, question = (line for line in commands_of_page(PAGE) if "visits" in line)
    assert [command.split()[1] for command in commands] == ["load", "build"]
    for command in commands:
        run(command, checkout, settings.data_dir)

    # The command stopped the server that it had started.
    store = open_serving_store(settings)
    path = question.partition("localhost:8000")[2].strip("'")
    (answer,) = ANSWER.findall(PAGE.read_text())
    with client_of(create_app(settings)) as client:
        found = client.get(path)
        assert found.headers["x-pollux-release"] == "visits-1"
        assert found.json() == json.loads(answer)
        schema = client.get("/v1/marts/visits/daily_visits/schema").json()
    described = {column["name"]: column["description"] for column in schema["columns"]}
    assert described["day"] == "Day, by the shop's clock."
    with store.connect_reader() as reader:
        (comment,) = reader.execute(
            "select col_description('visits.daily_visits'::regclass, 2)"
        ).fetchone()
        assert comment == described["day"]
