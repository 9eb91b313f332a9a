"""`pollux build`: models and tests, then the release of every domain that passed.

Belongs here: its options, its report, and `run`, which `pollux up` uses, too. Does not belong
here: running the graph (`orchestration.instance.in_process`) and what a build does
(`orchestration.build`).
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.options import ACCEPT_SHRINKING, DOMAINS, JSON
from pollux.runtime.settings import Settings
from pollux.runtime.warehouse import lock_warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestration.instance.in_process import GraphOutcome


def build(
    domain: DOMAINS = None,
    release: Annotated[
        bool, typer.Option(help="Release what passed; --no-release only builds and tests.")
    ] = True,
    accept_shrinking: ACCEPT_SHRINKING = False,
    as_json: JSON = False,
) -> None:
    """Builds and tests the marts from what was loaded, and releases the domains that passed."""
    from orchestration.build import check_loaded, loaded_domains
    from orchestration.release.errors import ReleaseError
    from orchestration.transform.errors import BuildError

    settings = Settings()
    domains = domain or list(loaded_domains(settings))
    if not domains:
        raise BuildError("Nothing has been loaded: run pollux load, or pollux up for sample data.")
    check_loaded(settings, domains)
    outcome = run(settings, domains, release=release, accept_shrinking=accept_shrinking)
    assert outcome.build is not None  # noqa: S101
    if as_json:
        output.print_json(
            {
                "build": asdict(outcome.build),
                "releases": [asdict(done) for done in outcome.releases],
            }
        )
    if outcome.refusals:
        output.fail("\n".join(outcome.refusals))
    outcome.build.raise_if_failed()
    if outcome.refusals:
        raise typer.Exit(ReleaseError.exit_code)


def run(
    settings: Settings,
    domains: "Sequence[str]",
    *,
    release: bool = True,
    accept_shrinking: bool = False,
    is_kept: bool = False,
) -> "GraphOutcome":
    """Runs the graph for domains and shows it on the console; with `is_kept` in Dagster, too."""
    # If the warehouse is in use, say so now, before the slow steps.
    with lock_warehouse(settings, "a build"):
        pass
    with output.busy("reading the rules"):
        from orchestration.instance.in_process import run_graph
        from orchestration.transform.manifest import prepare_manifest

        prepare_manifest(settings)
    return run_graph(
        settings,
        domains,
        output,
        release=release,
        accept_shrinking=accept_shrinking,
        is_kept=is_kept,
    )
