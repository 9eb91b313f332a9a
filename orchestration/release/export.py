"""Exports marts as CSV files."""

import tempfile
from pathlib import Path

import duckdb

from orchestration.release.marts import open_marts
from orchestration.scans import literal, scan_parquet
from orchestration.transform.dbt import read_run, target_dir
from orchestration.transform.errors import BuildError
from orchestration.transform.graph import marts_made_of
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings
from pollux.runtime.warehouse import lock_warehouse


def make_export_folder(domain: str, dataset: str, to: Path) -> Path:
    """The folder that marts built from a dataset are written to.

    Raises `BuildError` if it cannot be made.
    """
    folder = to / domain / dataset
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def export_marts(settings: Settings, domain: str, dataset: str, to: Path) -> dict[str, int]:
    """Writes each mart built from a dataset to `to/<domain>/<dataset>/<mart>.csv`.

    Returns rows by mart, of the last build. A file appears whole or not at all.

    Raises `BuildError` if the folder cannot be written or a mart cannot be read.
    """
    folder = make_export_folder(domain, dataset, to)
    run = read_run(target_dir(settings))
    tables = marts_made_of(run.manifest, domain, dataset)
    try:
        with (
            lock_warehouse(settings, "an export"),
            open_marts(settings, run.invocation_id, tables) as marts,
            # Not in the target folder: DuckDB would take brackets in its path for a pattern.
            tempfile.TemporaryDirectory(dir=settings.data_dir, prefix="export") as scratch,
        ):
            rows = {}
            for table in tables:
                parquet = Path(scratch) / f"{table.name}.parquet"
                marts.write_parquet(table, str(parquet))
                rows[table.name] = _write_csv(parquet, folder / f"{table.name}.csv")
            return rows
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> BuildError:
    return BuildError(f"{folder} cannot be written: {error.strerror or error}")


def _write_csv(parquet: Path, target: Path) -> int:
    unfinished = target.with_suffix(".csv.new")
    with open_duckdb() as engine:
        statement = (
            f"copy (from {scan_parquet([parquet])}) to {literal(str(unfinished))} "
            "(format csv, header)"
        )
        try:
            ((rows,),) = engine.execute(statement).fetchall()
        except duckdb.Error as error:
            raise BuildError(f"{target} cannot be written: {told(error)}") from error
    unfinished.replace(target)
    return int(rows)
