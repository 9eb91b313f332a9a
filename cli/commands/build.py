"""`pollux build`: models and tests, then the release of every domain that passed.

Its options and its report; `orchestration.chain` has the steps.
"""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import output
from cli.options import ACCEPT_SHRINKING, DOMAINS, JSON
from pollux.runtime.settings import Settings
from pollux.runtime.warehouse import lock_warehouse


def build(
    domain: DOMAINS = None,
    release: Annotated[
        bool, typer.Option(help="Release what passed; --no-release only builds and tests.")
    ] = True,
    accept_shrinking: ACCEPT_SHRINKING = False,
    as_json: JSON = False,
) -> None:
    """Builds and tests the marts from what was loaded, and releases the domains that passed."""
    from orchestration import chain
    from orchestration.build import check_loaded, loaded_domains
    from orchestration.release.errors import ReleaseError
    from orchestration.transform.errors import BuildError

    settings = Settings()
    domains = domain or list(loaded_domains(settings))
    if not domains:
        raise BuildError("Nothing has been loaded: run pollux load, or pollux up for sample data.")
    check_loaded(settings, domains)
    with output.busy("reading the rules"):
        prepare(settings)
    outcome = chain.run(
        settings, domains, output, release=release, accept_shrinking=accept_shrinking
    )
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


def prepare(settings: Settings) -> None:
    """Raises what would keep a build from its start, before anything slow."""
    from orchestration.transform.manifest import prepare_manifest

    # If the warehouse is in use, say so now.
    with lock_warehouse(settings, "a build"):
        pass
    prepare_manifest(settings)
