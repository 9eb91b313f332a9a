"""What all steps share: pool, retries, resources, failures that no retry mends.

Belongs here: what Dagster is told of steps, whatever their area. Does not belong here: when
something runs (`automation`), and how a step reports (`reporting`).
"""

from datetime import timedelta

import dagster as dg

from orchestration.defs.reporting import LogReporter, Reporter
from pollux.runtime.settings import Settings

# One at a time: loads, builds and releases share the landing zone and the warehouse.
POOL = "warehouse"

# For what passes by itself: a server that restarts, a warehouse that is in use.
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)

# Dagster's own: whether a run whose step failed is run again.
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"

RESOURCE_KEYS = {"settings", "reporter"}

# A domain's release can begin when its marts are there, though another domain's tests failed.
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}, name="by_output"
)

# Built daily; what services read should not be older than that, a long build allowed for.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=48), warn_window=timedelta(hours=26)
)


@dg.resource(description="The installation, as the POLLUX_ variables say at the time of the run.")
def settings_resource(_: dg.InitResourceContext) -> Settings:
    """The installation's settings."""
    return Settings()


@dg.resource(description="Who is told of the run.")
def reporter_resource(_: dg.InitResourceContext) -> Reporter:
    """Dagster's log."""
    return LogReporter()


def final(context: dg.AssetExecutionContext, message: str) -> dg.Failure:
    """A failure that trying again would not mend: neither the step nor the run is."""
    context.instance.add_run_tags(context.run_id, {RETRY_TAG: "false"})
    return dg.Failure(description=message, allow_retries=False)
