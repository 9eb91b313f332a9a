"""`pollux sample` and `pollux load`: make raw files, and land raw files.

Belongs here: options and reports of both, and what `--processed-basepath` does after a load. Does
not belong here: making samples (`sample`), loading (`orchestration.load`) and exporting marts
(`orchestration.release.export`).
"""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.options import JSON
from pollux.runtime.privacy import as_the_user_has_it
from pollux.runtime.settings import Settings


def sample(
    to: Annotated[Path, typer.Option(help="Folder to write the files to.")],
    domain: Annotated[str, typer.Option(help="Domain whose files to make.")] = "household",
    scale: Annotated[float, typer.Option(help="1 is the size of the real data.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Same scale and seed, same bytes.")] = 1,
    causal: Annotated[
        bool, typer.Option("--causal", help="All promotion rows, 36.8 million at scale 1.")
    ] = False,
) -> None:
    """Makes a retailer's raw files, in the exact format of the source."""
    from sample.generate import generate

    with output.step("sample") as step:
        with as_the_user_has_it():
            rows = generate(domain, to, scale=scale, seed=seed, causal=causal, progress=step.update)
        step.result = f"{len(rows)} files, {sum(rows.values()):,} rows in {to}"


def load(
    domain: Annotated[str, typer.Option("--domain", "-D", help="Domain the files belong to.")],
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="PATH", help="Folder or file; may be given several times."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Only this dataset of the domain.")
    ] = None,
    raw_basepath: Annotated[
        Path | None,
        typer.Option(
            "--raw-basepath", "-r", help="Instead of --from: the files are in DOMAIN/DATASET below."
        ),
    ] = None,
    processed_basepath: Annotated[
        Path | None,
        typer.Option(
            "--processed-basepath",
            "-t",
            help="Build, and write the marts made of the dataset to DOMAIN/DATASET below, as CSV.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what was loaded into the datasets before.")
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Files without rows may replace what was loaded."),
    ] = False,
    as_json: JSON = False,
) -> None:
    """Loads files into the landing zone; rows that cannot be read go to the rejects."""
    from orchestration.load.run import load as load_files

    if (from_ is None) == (raw_basepath is None):
        raise typer.BadParameter("give the files with either --from or --raw-basepath")
    if dataset is None and (raw_basepath or processed_basepath):
        raise typer.BadParameter("--raw-basepath and --processed-basepath need --dataset")
    files = from_ or [_raw_folder(raw_basepath or Path(), domain, dataset or "")]
    settings = Settings()
    with output.step("load") as step:
        report = load_files(
            settings,
            domain=domain,
            from_=files,
            dataset=dataset,
            replace=replace,
            allow_empty=allow_empty,
            progress=step.read,
        )
        landed = sum(file.rows_landed for file in report.files)
        rejected = sum(file.rows_rejected for file in report.files)
        step.result = f"{len(report.files)} files, {landed:,} rows landed, {rejected:,} rejected"
    for text in report.notes:
        output.note(text)
    if processed_basepath is not None:
        _build_and_export(settings, domain, dataset or "", processed_basepath)
    if as_json:
        output.print_json(report.as_json())
        return
    columns = ["dataset", "file", "outcome", "read", "landed", "rejected", "seconds"]
    rows = [
        [
            file.dataset,
            file.file,
            file.outcome,
            f"{file.rows_read:,}",
            f"{file.rows_landed:,}",
            f"{file.rows_rejected:,}",
            f"{file.seconds:.1f}",
        ]
        for file in report.files
    ]
    output.print_rows(columns, rows, "table")


def _raw_folder(base: Path, domain: str, dataset: str) -> Path:
    folders = [base / domain / dataset, base / dataset]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise typer.BadParameter(f"neither {folders[0]} nor {folders[1]} is a folder")


def _build_and_export(settings: Settings, domain: str, dataset: str, to: Path) -> None:
    from orchestration.build import build
    from orchestration.release.export import export_marts, make_export_folder

    with as_the_user_has_it():
        make_export_folder(domain, dataset, to)
    with output.step("build") as step:
        report = build(settings, [domain], progress=step.count)
        step.result = report.describe(settings)
        step.has_failed = bool(report.failed)
    for text in report.notes:
        output.note(text)
    report.raise_if_failed()
    with output.step("export") as step:
        with as_the_user_has_it():
            rows = export_marts(settings, domain, dataset, to)
        step.result = f"{len(rows)} tables, {sum(rows.values()):,} rows in {to / domain / dataset}"
