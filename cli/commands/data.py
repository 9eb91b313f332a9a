"""`pollux sample` and `pollux load`: raw files made, raw files landed."""

from pathlib import Path
from typing import Annotated

import typer

from cli import output
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
    from orchestration.sample.generate import generate

    with output.step("sample") as step:
        rows = generate(domain, to, scale=scale, seed=seed, causal=causal, progress=step.update)
        step.result = f"{len(rows)} files, {sum(rows.values()):,} rows in {to}"


def load(
    domain: Annotated[str, typer.Option("--domain", "-D", help="Domain the files belong to.")],
    from_: Annotated[
        list[Path], typer.Option("--from", help="Folder or file; may be given several times.")
    ],
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Only this dataset of the domain.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what was loaded of the datasets before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Loads files into the landing zone; rows that cannot be read go to the rejects."""
    from orchestration.load.run import load as load_files

    settings = Settings()
    with output.step("load") as step:
        report = load_files(
            settings,
            domain=domain,
            from_=from_,
            dataset=dataset,
            replace=replace,
            progress=step.read,
        )
        landed = sum(file.rows_landed for file in report.files)
        rejected = sum(file.rows_rejected for file in report.files)
        step.result = f"{len(report.files)} files, {landed:,} rows landed, {rejected:,} rejected"
    for text in report.notes:
        output.note(text)
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
