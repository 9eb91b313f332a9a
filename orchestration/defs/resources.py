"""What all steps share: pool, retries, executor, resources, and final failures.

Does not belong here: when something runs (`automation`), and how a step reports (`reporting`).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from orchestration.defs.reporting import LogReporter, Reporter
from pollux.masking import told, where_raised
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

# One at a time: loads, builds and releases share the landing zone and the warehouse.
POOL = "warehouse"


class Retries(dg.RetryPolicy):
    """Tries a step that failed again, but not one that was told to end.

    Dagster's own policy does: a run that somebody cancels would go on, and release.
    """

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds until the next attempt; Dagster asks while it handles what ended the last one."""
        ended_by = sys.exc_info()[1]
        if isinstance(ended_by, DagsterExecutionInterruptedError | KeyboardInterrupt):
            raise ended_by
        return super().calculate_delay(attempt_num)


# For problems that pass by themselves: a server restarts, the warehouse is in use.
RETRIES = Retries(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)

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


class StepError(Exception):
    """Another error in the way that it may be kept."""


@contextmanager
def masked_errors() -> Iterator[None]:
    """Takes values out of errors, as Dagster keeps their texts and those of their causes."""
    try:
        yield
    except (PolluxError, dg.Failure) as error:
        raise error from None
    except Exception as error:
        raise StepError(f"{told(error)}\n{where_raised(error)}") from None
