"""Plain dbt, as an analytics engineer runs it: from the seeds, on both engines, with docs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.transform.dbt import started_dbt, stream_dbt
from orchestration.transform.errors import BuildError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR

pytestmark = pytest.mark.integration


def dbt(settings: Settings, artifacts: Path, *arguments: str) -> None:
    environment = os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "DBT_TARGET_PATH": str(artifacts),
        "DBT_LOG_PATH": str(artifacts),
    }
    if "dev_postgres" in arguments:
        environment |= open_serving_store(settings).libpq_environment()
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, "--profiles-dir", "profiles"],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    "target", ["dev", pytest.param("dev_postgres", marks=pytest.mark.endurance)]
)
def test_seeds_build_with_every_test_and_document_themselves(
    target: str, short_tmp: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=short_tmp / target)
    settings.data_dir.mkdir()
    dbt(settings, tmp_path, "build", "--target", target)
    results = json.loads((tmp_path / "run_results.json").read_text())["results"]
    # Exposures are listed, and nothing runs.
    results = [one for one in results if not one["unique_id"].startswith("exposure.")]
    kinds = {result["unique_id"].partition(".")[0] for result in results}
    # The operation looks at the marts before anything is built.
    assert kinds == {"operation", "seed", "model", "test", "unit_test"}
    assert {result["status"] for result in results} == {"success", "pass"}

    # What was built is compiled already.
    dbt(settings, tmp_path, "docs", "generate", "--no-compile", "--target", target)
    assert (tmp_path / "index.html").exists()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    catalog = json.loads((tmp_path / "catalog.json").read_text())["nodes"]
    marts = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    ]
    assert marts
    for mart in marts:
        documented = {name.lower() for name, column in mart["columns"].items()}
        assert all(column["description"] for column in mart["columns"].values())
        assert {name.lower() for name in catalog[mart["unique_id"]]["columns"]} == documented


def test_dbt_is_ended_when_what_it_needs_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.transform.dbt.WATCH_SECONDS", 0.05)
    answers = iter([None, "The server has ended."])
    settings = Settings(data_dir=tmp_path)
    with (
        (tmp_path / "lock").open("w") as lock,
        pytest.raises(BuildError, match="server has ended"),
        started_dbt(
            ["sleep", "600"],
            settings=settings,
            environment=dict(os.environ),
            lock=lock.fileno(),
        ) as process,
    ):
        list(stream_dbt(process, settings=settings, lost=lambda: next(answers)))
