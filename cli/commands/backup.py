"""`pollux backup` and `restore`: options and reports of `orchestration.backup`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.options import JSON
from pollux.runtime.settings import Settings


def backup(
    to: Annotated[Path, typer.Argument(metavar="TO", help="Folder to write; empty or missing.")],
    as_json: JSON = False,
) -> None:
    """Copies landing, models, releases and database consistently, while everything runs."""
    from orchestration.backup.create import back_up

    with output.step("backup") as step:
        report = back_up(Settings(), to, progress=step.update)
        step.result = (
            f"{report.files:,} files, {report.tables} tables with {report.rows:,} rows, "
            f"{report.bytes / 2**20:,.1f} MiB in {report.folder}"
        )
    if as_json:
        output.print_json(asdict(report))


def restore(
    from_: Annotated[Path, typer.Argument(metavar="FROM", help="Folder that pollux backup wrote.")],
    as_json: JSON = False,
) -> None:
    """Puts a backup into an empty data folder and database, and compares the two."""
    from orchestration.backup.restore import restore as put_back

    with output.step("restore") as step:
        report = put_back(Settings(), from_, progress=step.update)
        step.result = (
            f"{report.files:,} files, {report.tables} tables with {report.rows:,} rows, equal to "
            f"the backup of {report.made_at}"
        )
    for text in report.notes:
        output.note(text)
    if as_json:
        output.print_json(asdict(report))
