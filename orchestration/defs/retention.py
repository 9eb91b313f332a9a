"""Deletes old runs (their records, events, checks and logs), and what was not loaded.

Dagster itself deletes old ticks of schedules and sensors (`orchestration.instance.home`).
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from orchestration.load.errors import LandingError
from orchestration.load.retention import forget_rejects
from pollux.runtime.settings import Settings

HOURLY = 3600
# A number of runs that can be deleted well within a sensor's time limit.
AT_ONCE = 100


def build_retention_definitions() -> dg.Definitions:
    """The sensor that deletes old runs and rejects, and says how many."""

    @dg.sensor(
        name="retention",
        minimum_interval_seconds=HOURLY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs that ended POLLUX_RUN_RETENTION_DAYS ago are deleted with their events "
        "and logs; the last run that made an asset stays. Rejected rows lose their text, and files "
        "that failed to load go, after POLLUX_REJECTS_RETENTION_DAYS.",
    )
    def retention_sensor(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SkipReason:
        forgotten = forget_runs(context.instance, timedelta(days=settings.run_retention_days))
        try:
            rejects = forget_rejects(settings, datetime.now(UTC))
        except LandingError as error:
            # A build holds the landing zone: the next tick does it.
            return dg.SkipReason(f"{forgotten} runs were old enough to be forgotten. {error}")
        return dg.SkipReason(
            f"{forgotten} runs were old enough to be forgotten, the text of {rejects.rows} "
            f"rejected rows, and {rejects.files} files that had failed to load."
        )

    return dg.Definitions(sensors=[retention_sensor])


def forget_runs(instance: dg.DagsterInstance, age: timedelta, *, limit: int = AT_ONCE) -> int:
    """Deletes up to `limit` runs that ended at least `age` ago; returns how many.

    The last run that made an asset stays: without it the asset would count as never made.
    """
    kept = {
        record.asset_entry.last_materialization_record.run_id
        for record in instance.get_asset_records()
        if record.asset_entry.last_materialization_record is not None
    }
    ended = instance.get_run_records(
        dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=datetime.now(UTC) - age),
        limit=limit + len(kept),
        ascending=True,
    )
    old = [found.dagster_run.run_id for found in ended if found.dagster_run.run_id not in kept]
    for run_id in old[:limit]:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _forget_checks(instance, run_id)
        instance.delete_run(run_id)
    return len(old[:limit])


def _forget_checks(instance: dg.DagsterInstance, run_id: str) -> None:
    # Dagster itself deletes an asset's checks only together with the asset's whole history.
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        table = AssetCheckExecutionsTable
        with storage.index_connection() as connection:
            connection.execute(table.delete().where(table.c.run_id == run_id))
