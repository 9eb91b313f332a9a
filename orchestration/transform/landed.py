"""Models over what has landed, evaluated by DuckDB beside any build: what live files are made from.

Belongs here: the models as dbt compiles them for DuckDB, and showing one as a relation. Does not
belong here: which models are wanted.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.scans import identifier, scan_parts
from orchestration.transform.dbt import dbt_command, dbt_environment, run_dbt, target_dir
from orchestration.transform.errors import BuildError
from orchestration.transform.live import name_of, read_by, sql_of
from orchestration.transform.record import code_fingerprint
from orchestration.transform.study import study_of
from pollux.runtime.settings import PROJECT_DIR, Settings

# Without a connection, so that no warehouse is opened.
COMPILE = ["compile", "--select", "resource_type:model", "--no-introspect", "--no-populate-cache"]
# What dbt keeps of a project that it has read.
PARSED = "partial_parse.msgpack"


class LandedRelations:
    """Datasets and models as relations of a DuckDB connection, by `live.name_of`.

    A model is a view over what it reads, down to the parts of the landing zone.
    """

    def __init__(
        self, settings: Settings, manifest: Mapping[str, Any], engine: duckdb.DuckDBPyConnection
    ) -> None:
        self._settings = settings
        self._manifest = manifest
        self._engine = engine
        self._datasets = {
            f"{one.domain}.{one.name}": one for one in read_datasets(PROJECT_DIR).values()
        }
        self._shown: set[str] = set()

    def show(self, unique_id: str) -> str:
        """Makes a relation, and returns its name as SQL."""
        name = identifier(name_of(unique_id))
        if unique_id not in self._shown:
            self._shown.add(unique_id)
            if unique_id.startswith("source."):
                dataset = self._datasets[name_of(unique_id)]
                scan = scan_parts(landing.dataset_dir(self._settings, dataset))
                self._engine.execute(f"create view {name} as from {scan}")
            else:
                self._show_model(unique_id, name)
        return name

    def _show_model(self, unique_id: str, name: str) -> None:
        node = self._manifest["nodes"][unique_id]
        for parent in read_by(node):
            self.show(parent)
        self._engine.execute(f"create view {name} as {sql_of(self._manifest, node)}")


def compiled_path(settings: Settings) -> Path:
    """Where the compiled models are kept, with a fingerprint of what they were compiled from."""
    return settings.data_dir / "builds" / "live" / "compiled.json"


def compile_for_duckdb(settings: Settings) -> dict[str, Any]:
    """The models as dbt compiles them for DuckDB, which no build of another engine does; kept."""
    kept = compiled_path(settings)
    fingerprint = f"{code_fingerprint()}:{study_of(settings)}"
    try:
        content = json.loads(kept.read_bytes())
        if content["fingerprint"] == fingerprint:
            manifest: dict[str, Any] = content["manifest"]
            return manifest
    except (OSError, ValueError):
        pass
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as scratch:
        # Apart from the builds, which may be under way, and without their warehouse.
        target, builds = Path(scratch, "target"), target_dir(settings)
        target.mkdir()
        is_shared = settings.engine == "duckdb"
        if is_shared and (builds / PARSED).exists():
            # Two thirds of a dbt's start is reading the project.
            shutil.copy(builds / PARSED, target)
        environment = dbt_environment(settings, None) | {
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": scratch,
        }
        problem = run_dbt(dbt_command(*COMPILE, target="duckdb"), environment)
        if problem is not None:
            raise BuildError(f"The models cannot be compiled for DuckDB:\n{problem}")
        found = json.loads((target / "manifest.json").read_bytes())
        if is_shared:
            builds.mkdir(parents=True, exist_ok=True)
            (target / PARSED).replace(builds / PARSED)
    manifest = {
        "nodes": {
            unique_id: node
            for unique_id, node in found["nodes"].items()
            if node["resource_type"] in ("model", "seed")
        },
        "sources": found["sources"],
    }
    unfinished = kept.with_suffix(".new")
    unfinished.write_text(json.dumps({"fingerprint": fingerprint, "manifest": manifest}))
    unfinished.replace(kept)
    return manifest
