"""`pollux build`: models and tests, then the release of every domain that passed."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import output
from pollux.runtime.settings import Settings


def build(
    domain: Annotated[
        list[str] | None,
        typer.Option(help="Only this domain; may be given several times. Default: all loaded."),
    ] = None,
    release: Annotated[
        bool, typer.Option(help="Release what passed; --no-release only builds and tests.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Builds and tests the marts from what was loaded, and releases the domains that passed."""
    from cli.commands.release import release_domains
    from orchestration.release.errors import ReleaseError
    from orchestration.transform.build import build as build_marts
    from orchestration.transform.build import loaded_domains
    from orchestration.transform.errors import BuildError

    settings = Settings()
    domains = domain or list(loaded_domains(settings))
    if not domains:
        raise BuildError("Nothing has been loaded: run pollux load, or pollux up for sample data.")
    with output.step("build") as step:
        report = build_marts(settings, domains, progress=step.count)
        step.result = f"{report.models} models, {report.tests} tests on {settings.engine}"
        step.has_failed = bool(report.failed)
    releases, failures = release_domains(settings, report.passed if release else ())
    if as_json:
        output.print_json(
            {"build": asdict(report), "releases": [asdict(done) for done in releases]}
        )
    if failures:
        output.fail("\n".join(failures))
    report.raise_if_failed()
    if failures:
        raise typer.Exit(ReleaseError.exit_code)
