"""Deletes what is older than the settings say; here runs, with their events, checks and logs.

Dagster itself deletes old ticks of schedules and sensors (`orchestration.instance.home`).
"""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from orchestration.load.old_decisions import delete_rows
from orchestration.load.retention import forget_old
from orchestration.load.retention_note import Forgotten, LastTime, note
from pollux.masking import told
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

HOURLY = 3600
# A number of runs that can be deleted well within a sensor's time limit.
AT_ONCE = 100
# An asset that nothing makes: its history is that of what went.
REPORT = dg.AssetKey("retention")


def build_retention_definitions() -> dg.Definitions:
    """The sensor that deletes what is old, and the asset that says how much it was."""

    @dg.sensor(
        name="retention",
        minimum_interval_seconds=HOURLY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="What is older than the POLLUX_…_RETENTION_DAYS say goes: runs with their "
        "events and logs, but for the last that made an asset; the text of rejected rows, files "
        "that failed to load, parts and loaded files of old days, decisions that have landed.",
    )
    def retention_sensor(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        now = datetime.now(UTC)
        runs = forget_runs(context.instance, timedelta(days=settings.run_retention_days))
        forgotten, problem = Forgotten(runs=runs), ""
        try:
            # Rows after parts, whose numbers say which have landed.
            forgotten = replace(forget_old(settings, now), runs=runs)
            forgotten = replace(forgotten, decisions=delete_rows(settings, now))
        except (PolluxError, psycopg.Error) as error:
            # Perhaps a build holds the landing zone: the next tick does it.
            problem = told(error)
        note(settings, LastTime(now.isoformat(timespec="seconds"), forgotten, problem))
        report = dg.AssetMaterialization(REPORT, metadata=asdict(forgotten))
        return dg.SensorResult(
            skip_reason=f"{forgotten.describe()} were old enough to go. {problem}".strip(),
            asset_events=[report] if forgotten != Forgotten() else [],
        )

    report = dg.AssetSpec(
        REPORT, description="What went for its age, and when.", group_name="retention"
    )
    return dg.Definitions(assets=[report], sensors=[retention_sensor])


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
