"""Everything that Dagster runs, from the areas' own definitions.

Belongs here: putting them together. Importing this reads the prepared manifest and does no work;
`pollux dagster` prepares it.
"""

from typing import Any

import dagster as dg

from orchestration.automation import build_automation_definitions
from orchestration.learn.assets import build_learn_definitions
from orchestration.load.assets import build_load_definitions
from orchestration.load.event_assets import build_event_definitions
from orchestration.manifest import read_manifest
from orchestration.release.assets import build_release_definitions
from orchestration.running import EXECUTOR, RETRIES, reporter_resource, settings_resource
from orchestration.transform.assets import build_transform_definitions
from pollux.runtime.settings import Settings


def build_definitions(
    manifest: dict[str, Any], *, retries: dg.RetryPolicy | None = RETRIES, **resources: object
) -> dg.Definitions:
    """All definitions; `resources` take the place of `settings` and `reporter`."""
    return dg.Definitions.merge(
        build_load_definitions(manifest, retries),
        build_event_definitions(manifest, retries),
        build_learn_definitions(retries),
        build_transform_definitions(manifest, retries),
        build_release_definitions(manifest, retries),
        build_automation_definitions(manifest),
        dg.Definitions(
            resources={"settings": settings_resource, "reporter": reporter_resource} | resources,
            executor=EXECUTOR,
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    return build_definitions(read_manifest(Settings()))
