"""The manifest of the dbt project from which Dagster's definitions are made.

Belongs here: preparing it before any import needs it, and reading it. Does not belong here: a
build's own manifest, which dbt writes each time.
"""

import json
from pathlib import Path
from typing import Any

from orchestration.transform.dbt import (
    dbt_command,
    dbt_environment,
    run_dbt,
    target_dir,
)
from orchestration.transform.errors import BuildError
from orchestration.transform.marts import check_marts
from orchestration.transform.record import code_fingerprint
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.warehouse import lock_warehouse


class ManifestError(BuildError):
    """There is no manifest, or it cannot be made."""


def is_prepared(settings: Settings) -> bool:
    """Whether the manifest exists and agrees with the dbt project."""
    try:
        return bool(_read(settings)["fingerprint"] == _fingerprint(settings))
    except ManifestError:
        return False


def prepare_manifest(settings: Settings) -> None:
    """Makes the manifest if there is none or the rules have changed; takes a few seconds.

    Raises `ManifestError` with dbt's own message if the project cannot be parsed, `MartError` if a
    mart could not be released, and `WarehouseBusyError` if a build holds dbt's folder.
    """
    if is_prepared(settings):
        return
    with lock_warehouse(settings, "reading the rules"):
        if is_prepared(settings):
            return
        fingerprint = _fingerprint(settings)
        manifest = _parse(settings)
        check_marts(manifest, PROJECT_DIR)
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps({"fingerprint": fingerprint, "manifest": manifest}))
    unfinished.replace(path)


def read_manifest(settings: Settings) -> dict[str, Any]:
    """The prepared manifest; raises `ManifestError` saying how to make it."""
    manifest: dict[str, Any] = _read(settings)["manifest"]
    return manifest


def check_manifest(settings: Settings) -> None:
    """Raises `ManifestError` if the rules have changed since the manifest was made."""
    if not is_prepared(settings):
        raise ManifestError(
            "Models, macros, seeds or tests changed since Dagster read them: restart pollux "
            "dagster, which reads them again."
        )


def _path(settings: Settings) -> Path:
    return settings.dagster_home / "manifest.json"


def _read(settings: Settings) -> dict[str, Any]:
    path = _path(settings)
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ManifestError(
            f"{path} is missing: pollux dagster, pollux up and pollux build make it."
        ) from None
    except ValueError:
        raise ManifestError(f"{path} cannot be read: remove it, and run pollux dagster.") from None
    return content


def _fingerprint(settings: Settings) -> str:
    # The manifest also depends on the engine: it says where each model is.
    return f"{settings.engine}:{code_fingerprint()}"


def _parse(settings: Settings) -> Any:  # noqa: ANN401
    # In the folder of builds, so that the next build need not parse again.
    problem = run_dbt(dbt_command("parse", target=settings.engine), dbt_environment(settings, None))
    if problem is not None:
        raise ManifestError(f"The dbt project cannot be parsed:\n{problem}")
    return json.loads((target_dir(settings) / "manifest.json").read_bytes())
