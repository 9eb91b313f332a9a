"""Merges the definitions of all steps into one `Definitions`.

Importing this does no work; loading `defs` reads the manifest that `pollux dagster` prepared.
"""

from typing import Any

import dagster as dg

from orchestration.defs.automation import build_automation_definitions
from orchestration.defs.erasures import build_erasure_definitions
from orchestration.defs.events import build_event_definitions
from orchestration.defs.learn import build_learn_definitions
from orchestration.defs.load import build_load_definitions
from orchestration.defs.release import build_release_definitions
from orchestration.defs.resources import EXECUTOR, RETRIES, reporter_resource, settings_resource
from orchestration.defs.retention import build_retention_definitions
from orchestration.defs.transform import build_transform_definitions
from orchestration.transform.manifest import read_manifest
from pollux.runtime.settings import Settings


def build_definitions(
    manifest: dict[str, Any], *, retries: dg.RetryPolicy | None = RETRIES, **resources: object
) -> dg.Definitions:
    """All definitions; `resources` override `settings` and `reporter`."""
    return dg.Definitions.merge(
        build_load_definitions(manifest, retries),
        build_event_definitions(manifest, retries),
        build_learn_definitions(retries),
        build_transform_definitions(manifest, retries),
        build_release_definitions(manifest, retries),
        build_automation_definitions(manifest),
        build_retention_definitions(),
        build_erasure_definitions(),
        dg.Definitions(
            resources={"settings": settings_resource, "reporter": reporter_resource} | resources,
            executor=EXECUTOR,
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    return build_definitions(read_manifest(Settings()))
