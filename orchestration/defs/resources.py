"""What all steps share: pool, retries, executor, resources, and final failures.

Does not belong here: when something runs (`automation`), and how a step reports (`reporting`).
"""

from datetime import timedelta

import dagster as dg

from orchestration.defs.reporting import LogReporter, Reporter
from pollux.runtime.settings import Settings

# One at a time: loads, builds and releases share the landing zone and the warehouse.
POOL = "warehouse"

# For problems that pass by themselves: a server restarts, the warehouse is in use.
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)

# Dagster's own tag: whether a run is retried after a step failed.
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"

RESOURCE_KEYS = {"settings", "reporter"}

# A domain's release can begin once its marts are built, even if another domain's tests failed.
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}, name="by_output"
)

# Marts are built daily; the windows allow for a long build.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=48), warn_window=timedelta(hours=26)
)


@dg.resource(description="The installation, as the POLLUX_ variables say at the time of the run.")
def settings_resource(_: dg.InitResourceContext) -> Settings:
    """The installation's settings."""
    return Settings()


@dg.resource(description="Receives the reports of the run.")
def reporter_resource(_: dg.InitResourceContext) -> Reporter:
    """Dagster's log."""
    return LogReporter()


def final(context: dg.AssetExecutionContext, message: str) -> dg.Failure:
    """A failure that a retry would not mend: neither the step nor the run is retried."""
    context.instance.add_run_tags(context.run_id, {RETRY_TAG: "false"})
    return dg.Failure(description=message, allow_retries=False)
