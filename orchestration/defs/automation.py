"""What runs by itself: jobs, the daily schedule, the inbox sensor, the alert of a failed run.

Belongs here: when something runs, and why then. Does not belong here: what it does.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration.defs.alerts import alert
from orchestration.defs.learn import PROPENSITY
from orchestration.defs.load import BY_DATE
from orchestration.defs.release import release_key
from orchestration.defs.resources import EXECUTOR
from orchestration.load import inbox
from orchestration.load.errors import LoadError
from orchestration.load.names import shown
from orchestration.transform.graph import domains
from pollux.runtime.settings import Settings

EVERYTHING = "everything"
# After the night's deliveries, before people come to work.
DAILY = "0 5 * * *"
INBOX_SECONDS = 10
ALERT_SECONDS = 10
# Dagster's own tag: the daemon will retry the run.
WILL_RETRY = "dagster/will_retry"
WITH_ROWS = ", the first of them:"


def build_automation_definitions(manifest: dict[str, Any]) -> dg.Definitions:
    """Jobs, schedule and sensors for the domains of a manifest."""
    known = domains(manifest)
    by_hand = dg.AssetSelection.groups(BY_DATE)
    everything = dg.define_asset_job(
        EVERYTHING,
        # The coupon-propensity model has its own weekly schedule.
        selection=dg.AssetSelection.all() - by_hand - dg.AssetSelection.assets(PROPENSITY),
        description="Takes what waits in the inbox, builds, tests and releases every domain.",
        executor_def=EXECUTOR,
    )
    # A domain's own run touches no other domain, and its failure affects no other.
    of_domain = {
        domain: dg.define_asset_job(
            domain,
            selection=dg.AssetSelection.assets(release_key(domain)).upstream() - by_hand,
            description=f"Takes what waits in the inbox of {domain}, builds, tests, releases it.",
            executor_def=EXECUTOR,
            tags={"domain": domain},
        )
        for domain in known
    }
    daily = dg.ScheduleDefinition(
        name="daily",
        job=everything,
        cron_schedule=DAILY,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="So that marts never stay older than a day, whatever changed.",
    )
    return dg.Definitions(
        jobs=[everything, *of_domain.values()],
        schedules=[daily],
        sensors=[_inbox_sensor(of_domain), _failure_sensor()],
    )


def _inbox_sensor(jobs: dict[str, Any]) -> dg.SensorDefinition:
    @dg.sensor(
        name="inbox",
        jobs=list(jobs.values()),
        minimum_interval_seconds=INBOX_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Files dropped into inbox/<domain> are loaded, built, tested and released.",
    )
    def inbox_sensor(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        for folder in inbox.unknown_folders(settings, jobs):
            text = f"{shown(folder)} is no domain's folder; domains are {', '.join(jobs)}"
            context.log.warning(text)
        before: dict[str, list[str]] = json.loads(context.cursor or "{}")
        now: dict[str, list[str]] = {}
        for domain in jobs:
            try:
                now[domain] = [file.version for file in inbox.waiting(settings, domain)]
            except LoadError as error:
                # The other domains can still be loaded.
                context.log.warning(str(error))
        # Files that changed since the last tick may still be being written.
        settled = {
            domain: files for domain, files in now.items() if files and files == before.get(domain)
        }
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    # The same files request one run; a new file requests another.
                    run_key=f"{domain}:{hashlib.sha256(json.dumps(files).encode()).hexdigest()}",
                    job_name=domain,
                )
                for domain, files in settled.items()
            ],
            cursor=json.dumps({domain: files for domain, files in now.items() if files}),
        )

    return inbox_sensor


def _failure_sensor() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert",
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A failed run is written to logs/alerts.log and posted to "
        "POLLUX_ALERT_WEBHOOK.",
    )
    def alert_sensor(
        context: dg.RunFailureSensorContext, settings: dg.ResourceParam[Settings]
    ) -> None:
        run = context.dagster_run
        text = "\n".join(_describe(context))
        problem = alert(settings, text, {"job": run.job_name, "run": run.run_id})
        context.log.error(text)
        if problem is not None:
            context.log.warning(problem)

    return alert_sensor


def _describe(context: dg.RunFailureSensorContext) -> Iterator[str]:
    run = context.dagster_run
    yield f"Run {run.run_id} of {run.job_name} failed."
    reasons = []
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        said = event.step_failure_data.user_failure_data
        text = (said.description if said else None) or (error.message if error else "")
        # Indented lines are rows of data, which must not leave in an alert.
        lines = [line for line in text.strip().splitlines() if not line.startswith("  ")]
        reasons.append(f"{event.step_key}: " + "\n".join(lines).replace(WITH_ROWS, ""))
    yield from reasons or [context.failure_event.message or "It ended without a message."]
    if run.tags.get(WILL_RETRY) == "true":
        yield "It will be tried again."
