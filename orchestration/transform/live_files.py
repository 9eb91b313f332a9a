"""Writes what a build's live marts are evaluated from: `builds/live/<domain>/<dbt invocation>/`.

Belongs here: the files of a `LivePlan`, from the landing zone and the engine's tables, and giving
them to a release. Does not belong here: what is in them (`live`), and evaluating them
(`pollux.runtime.live_models`).

A build writes them while it holds the locks, so that no later load gets in. Lines of customers are
read from the landing zone by DuckDB, whatever the engine; where neither they nor their rules have
changed, the file of the build before is linked.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.load import landing
from orchestration.scans import identifier, literal, scan_parts
from orchestration.transform.dbt import (
    DbtRun,
)
from orchestration.transform.errors import BuildError
from orchestration.transform.lake import table_dir
from orchestration.transform.landed import LandedRelations, compile_for_duckdb
from orchestration.transform.live import (
    CUSTOMERS,
    GIVEN,
    RELEASED,
    Closure,
    live_domains,
    name_of,
    plan_of,
    read_by,
    sql_of,
)
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import BATCH_ROWS, PIECE_ROWS, SUFFIX, write_lines
from pollux.runtime.live_models import LiveModels
from pollux.runtime.live_plan import write_plan
from pollux.runtime.recommend.learned import FILES, learned_dir
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings

MEMORY_LIMIT = "2GB"
# Hashes of what each file was made from.
INPUTS = "inputs.json"
# The folder's name in a release, and the builds' own.
LIVE = "live"


def live_dir(settings: Settings, domain: str, invocation: str) -> Path:
    """The folder of a build's live files."""
    return settings.data_dir / "builds" / LIVE / domain / invocation


def write_live_files(
    settings: Settings, run: DbtRun, domains: Sequence[str], database: ServingStore | None
) -> None:
    """Writes the live files of these domains; the caller holds warehouse and landing zone.

    Raises `BuildError` where a live mart cannot be evaluated.
    """
    wanted = [domain for domain in domains if domain in live_domains(run.manifest)]
    if not wanted:
        return
    manifest = run.manifest
    if settings.engine != "duckdb":
        manifest = compile_for_duckdb(settings)
    for domain in wanted:
        try:
            _write(settings, run, manifest, domain, database)
        except (duckdb.Error, OSError, ValueError) as error:
            raise BuildError(
                f"The live marts of {domain} cannot be made from this build: {told(error)}"
            ) from error


def give_live_files(settings: Settings, domain: str, invocation: str, release: Path) -> bool:
    """Links a build's live files into the folder of its release; returns whether it has any."""
    source = live_dir(settings, domain, invocation)
    if not source.is_dir():
        return False
    target = release / LIVE
    target.mkdir()
    for path in source.iterdir():
        if path.name != INPUTS:
            _link(path, target / path.name)
    return True


def _write(
    settings: Settings,
    run: DbtRun,
    manifest: Mapping[str, Any],
    domain: str,
    database: ServingStore | None,
) -> None:
    folder = live_dir(settings, domain, run.invocation_id)
    earlier = [path for path in folder.parent.glob("*") if path.is_dir()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    closure = Closure(manifest, domain)
    scratch_dir = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".")
    with scratch_dir as scratch, open_duckdb() as engine:
        unfinished = Path(scratch) / "files"
        unfinished.mkdir()
        engine.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        engine.execute("set temp_directory = ?", [scratch])
        relations = _Relations(settings, run, manifest, engine, database)
        inputs = {}
        for unique_id in closure.order:
            kind, name = closure.kind(unique_id), closure.node(unique_id)["name"]
            if kind not in (RELEASED, CUSTOMERS):
                continue
            key = closure.by(unique_id) if kind == CUSTOMERS else None
            path = unfinished / f"{name}{SUFFIX if key else '.parquet'}"
            inputs[name] = relations.inputs_of(unique_id, key)
            found = _unchanged(earlier, path.name, inputs)
            if found is not None:
                _link(found, path)
            elif key is None:
                _copy(engine, relations.show(unique_id), path)
            else:
                _copy_lines(engine, relations.show(unique_id), key, path)
        (given,) = [
            parent
            for one in closure.order
            if closure.kind(one) == GIVEN
            for parent in read_by(closure.node(one))
        ]
        plan = plan_of(manifest, domain)
        for name in FILES if plan.learned else ():
            _link(learned_dir(settings) / name, unfinished / name)
        described = engine.execute(f"describe from {relations.show(given)}").fetchall()
        columns = tuple((str(name), str(kind)) for name, kind, *_ in described)
        write_plan(unfinished, replace(plan, lines_columns=columns))
        (unfinished / INPUTS).write_text(json.dumps(inputs))
        _try(unfinished)
        unfinished.rename(folder)
    for path in earlier:
        shutil.rmtree(path)


def _try(folder: Path) -> None:
    """Evaluates the live marts for nobody: SQL that does not fit fails here."""
    models = LiveModels(folder)
    try:
        models.compute([], None, None)
    finally:
        models.close()


class _Relations(LandedRelations):
    """The same, where tables are those that the build has made."""

    def __init__(
        self,
        settings: Settings,
        run: DbtRun,
        manifest: Mapping[str, Any],
        engine: duckdb.DuckDBPyConnection,
        database: ServingStore | None,
    ) -> None:
        super().__init__(settings, manifest, engine)
        self._run = run
        self._database = database
        if settings.engine == "duckdb":
            warehouse = literal(str(settings.warehouse_path))
            engine.execute(f"attach {warehouse} as warehouse (read_only)")

    def inputs_of(self, unique_id: str, key: str | None) -> str:
        """A hash of the parts and the SQL behind a relation; of a table, one of this build."""
        found = [key or "", str(BATCH_ROWS)]
        waiting = [unique_id]
        while waiting:
            one = waiting.pop()
            if one.startswith("source."):
                dataset = self._datasets[name_of(one)]
                found.append(landing.dataset_fingerprint(self._settings, dataset))
            elif self._is_built(one):
                found.append(self._run.invocation_id)
            else:
                node = self._manifest["nodes"][one]
                found.append(sql_of(self._manifest, node))
                waiting += read_by(node)
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def _is_built(self, unique_id: str) -> bool:
        if unique_id.startswith("seed."):
            return True
        return bool(self._manifest["nodes"][unique_id]["config"]["materialized"] == "table")

    def _show_model(self, unique_id: str, name: str) -> None:
        if self._is_built(unique_id):
            self._show_built(unique_id, name)
        else:
            super()._show_model(unique_id, name)

    def _show_built(self, unique_id: str, name: str) -> None:
        node = self._run.manifest["nodes"][unique_id]
        schema, table = node["schema"], node["alias"]
        if self._settings.engine == "duckdb":
            place = f"warehouse.{identifier(schema)}.{identifier(table)}"
            self._engine.execute(f"create view {name} as from {place}")
        elif self._settings.engine == "spark":
            folder = table_dir(self._settings, self._run.invocation_id, schema, table)
            self._engine.execute(f"create view {name} as from {scan_parts(folder)}")
        else:
            assert self._database is not None  # noqa: S101
            with self._database.connect() as connection:
                cursor = connection.execute(f"select * from {node['relation_name']}".encode())
                kinds = {one.name: one.type_display for one in cursor.description or ()}
                rows = cursor.fetchall()
            given = pa.table(
                {column: [row[place] for row in rows] for place, column in enumerate(kinds)}
            )
            casts = ", ".join(
                f"cast({identifier(column)} as {kind}) as {identifier(column)}"
                for column, kind in kinds.items()
            )
            self._engine.register("given", given)
            self._engine.execute(f"create table {name} as select {casts} from given")
            self._engine.unregister("given")


def _copy(engine: duckdb.DuckDBPyConnection, relation: str, path: Path) -> None:
    engine.execute(f"copy (from {relation}) to {literal(str(path))} (format parquet)").fetchall()


def _copy_lines(engine: duckdb.DuckDBPyConnection, relation: str, key: str, path: Path) -> None:
    column = identifier(key)
    found = engine.sql(f"from {relation} where {column} is not null order by {column}")
    write_lines(path, key, found.to_arrow_reader(PIECE_ROWS))


def _unchanged(earlier: Sequence[Path], file: str, inputs: Mapping[str, str]) -> Path | None:
    name = Path(file).stem
    for folder in earlier:
        try:
            made_from = json.loads((folder / INPUTS).read_text()).get(name)
        except (OSError, ValueError):
            continue
        path = folder / file
        if made_from == inputs[name] and path.exists():
            return path
    return None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
