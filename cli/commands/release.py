"""`pollux release`, `rollback` and `status`: what is served, and what was.

Belongs here: options and tables of the three, and `release_domains`, which `pollux up` uses, too.
Does not belong here: releasing and rolling back (`orchestration.release.publish`), and reading the
status (`orchestration.status`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.options import ACCEPT_SHRINKING, DOMAINS, JSON
from pollux.runtime.settings import Settings

if TYPE_CHECKING:
    from orchestration.load.retention_note import LastTime
    from orchestration.release.publish import ReleaseReport


def release_domains(
    settings: Settings, domains: Sequence[str], *, accept_shrinking: bool = False
) -> tuple[list["ReleaseReport"], list[str]]:
    """Releases each domain even if others fail; returns reports and failures."""
    from orchestration.release.errors import ReleaseError
    from orchestration.release.publish import release as publish

    reports, failures = [], []
    for domain in domains:
        with output.step("release") as step:
            try:
                report = publish(
                    settings, domain, progress=step.update, accept_shrinking=accept_shrinking
                )
            except ReleaseError as error:
                step.has_failed = True
                step.result = domain
                failures.append(str(error))
                continue
            step.result = report.describe()
        for text in report.notes:
            output.note(text)
        reports.append(report)
    return reports, failures


def release(
    domain: DOMAINS = None,
    accept_shrinking: ACCEPT_SHRINKING = False,
    as_json: JSON = False,
) -> None:
    """Publishes the marts of the last build, if every test passed."""
    from orchestration.build import loaded_domains
    from orchestration.release.errors import ReleaseError

    settings = Settings()
    domains = domain or loaded_domains(settings)
    if not domains:
        raise ReleaseError(
            "Nothing has been loaded, so there is nothing to release: run pollux load and pollux "
            "build, or pollux up for sample data."
        )
    reports, failures = release_domains(settings, domains, accept_shrinking=accept_shrinking)
    if as_json:
        output.print_json([asdict(report) for report in reports])
    if failures:
        raise ReleaseError("\n".join(failures))


def rollback(
    domain: Annotated[str, typer.Argument(help="Domain to roll back.")],
    to: Annotated[
        int | None, typer.Option(help="Number of the release; default: the one before.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Serves an earlier release of a domain again."""
    from orchestration.release.publish import rollback as go_back

    with output.step("rollback") as step:
        report = go_back(Settings(), domain, to)
        step.result = f"{domain} serves release {report.number} again"
    for text in report.notes:
        output.note(text)
    if as_json:
        output.print_json(asdict(report))


def status(as_json: JSON = False) -> None:
    """Shows what was loaded, built and released."""
    from orchestration.status import read_status

    found = read_status(Settings())
    if as_json:
        output.print_json(asdict(found))
        return
    if not found.datasets and not found.releases:
        output.result_console.print(
            "Nothing has been loaded yet: pollux up makes sample data and serves it, pollux load "
            "takes your files.",
            soft_wrap=True,
        )
        return
    output.result_console.print("[bold]loaded[/]")
    output.print_rows(
        ["domain", "dataset", "rows", "rejected", "files", "sample", "loaded at"],
        [
            [d.domain, d.dataset, f"{d.rows:,}", f"{d.rejected:,}", d.files, d.is_sample, d.at]
            for d in found.datasets
        ],
        "table",
    )
    output.result_console.print("\n[bold]built[/]")
    output.print_rows(
        ["domain", "engine", "status", "started at", "up to date"],
        [[b.domain, b.engine, b.status, b.started_at, b.is_up_to_date] for b in found.builds],
        "table",
    )
    if not found.builds:
        output.result_console.print("Nothing yet: pollux build builds, tests and releases it.")
    output.result_console.print("\n[bold]released[/]")
    output.print_rows(
        ["domain", "release", "served", "released at", "engine", "rows", "seconds"],
        [
            [
                r.domain,
                r.number,
                "yes" if r.is_current else ("" if r.is_kept else "no longer kept"),
                f"{r.released_at:%Y-%m-%d %H:%M:%S}",
                r.engine,
                f"{r.rows:,}",
                f"{r.seconds:.1f}",
            ]
            for r in found.releases
        ],
        "table",
    )
    output.result_console.print("\n[bold]removed for its age[/]")
    output.result_console.print(_describe_retention(found.retention), soft_wrap=True)


def _describe_retention(last: "LastTime | None") -> str:
    if last is None:
        return "Nothing yet: pollux up and pollux dagster look every hour what is too old."
    return f"{last.at}: {last.forgotten.describe()}. {last.problem}".strip()
