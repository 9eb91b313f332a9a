"""`pollux erase`, `erasures` and `export-subject`: whom data are about.

Belongs here: options and reports. Does not belong here: erasing (`orchestration.erase`).
"""

from typing import Annotated, Any

import typer

from cli import output
from cli.options import JSON
from pollux.personal import SUBJECTS
from pollux.runtime.settings import Settings
from pollux.subjects import read_subject

KIND = Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(SUBJECTS)}.")]
ID = Annotated[str, typer.Argument(metavar="ID", help="The id; of a member, the email.")]


def erase(
    kind: KIND,
    subject_id: ID,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list where the subject is found.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Erases somebody from everything the installation keeps, and keeps them out from now on."""
    subject = read_subject(kind, subject_id)
    from orchestration.erase.run import erase as erase_subject
    from orchestration.erase.run import look

    if dry_run:
        with output.step("look") as step:
            found = look(Settings(), subject)
            step.result = f"{found.files:,} files, {found.tables} tables"
        rows = [[place.name, place.rows] for place in found.places]
        output.print_rows(["place", "rows"], rows, "json" if as_json else "table")
        return
    with output.step("erase") as step:
        report = erase_subject(Settings(), subject, progress=step.update)
        scanned = report.record["scanned"]
        step.result = (
            f"{sum(report.record['rows'].values()):,} rows; nothing found in "
            f"{scanned['files']:,} files and {scanned['tables']} tables"
        )
    if as_json:
        output.print_json(report.record)
    elif not report.record["rows"]:
        output.note(f"There was nothing of this {kind}. It is kept out from now on.")


def erasures(
    finish: Annotated[
        bool, typer.Option("--finish", help="First remove the bytes of those not finished.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Lists who was erased: not whom, but when, and whether the signed record is genuine."""
    from orchestration.erase.run import finish as finish_erasures
    from orchestration.erase.run import read_all

    settings = Settings()
    if finish:
        finish_erasures(settings)
    rows: list[list[Any]] = [
        [
            one.number,
            one.kind,
            f"{one.asked_at:%Y-%m-%d %H:%M:%S}",
            "bytes are left" if one.finished_at is None else "proved" if is_genuine else "forged",
        ]
        for one, is_genuine in read_all(settings)
    ]
    columns = ["number", "kind", "asked at", "state"]
    if as_json:
        output.print_json(
            [
                dict(zip([name.replace(" ", "_") for name in columns], row, strict=True))
                for row in rows
            ]
        )
    elif rows:
        output.print_rows(columns, rows, "table")
    else:
        output.result_console.print("Nobody was erased.")


def export_subject(kind: KIND, subject_id: ID) -> None:
    """Prints all that is kept about somebody, as one JSON document."""
    subject = read_subject(kind, subject_id)
    from orchestration.erase.export import export

    output.print_json(export(Settings(), subject))
