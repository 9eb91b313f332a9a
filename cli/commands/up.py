"""`pollux up` and `down`: everything an installation runs, started and stopped.

Belongs here: the order of the steps, what a first start adds (samples, a first model), the message
when all is up, and what `down` ends. Does not belong here: the services and their order
(`cli.serving`, `cli.dagster`), and keeping processes running (`cli.supervisor`).
"""

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from cli import output
from cli.dagster import dagster_services, socket_of_code, url_of_dagster
from cli.processes import UP, Running
from cli.serving import (
    check_ports,
    describe_broker,
    services,
    show_services,
    url_of,
    url_of_dashboard,
)
from cli.supervisor import Supervisor, database_kept_running, first_line
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import stop_spark

SAMPLE_SCALE = 0.1
SAMPLE_DOMAINS = ("customer", "household", "loyalty", "store")


def up(
    once: Annotated[
        bool, typer.Option("--once", help="End when everything is released; serve nothing.")
    ] = False,
) -> None:
    """Starts everything: database, data, release, services, Dagster. Ctrl-C stops it."""
    settings = Settings()
    began = time.monotonic()
    running = Running(settings)
    with running.only_one(UP), socket_of_code() as socket, ExitStack() as stack:
        if not once:
            check_ports(settings)
        with output.step("database") as step:
            database = open_serving_store(settings)
            step.result = "embedded PostgreSQL" if database.embedded else "your PostgreSQL"
        stack.enter_context(database_kept_running(settings))
        stack.callback(stop_spark, settings, only_unasked=True)
        _load_sample(settings)
        _build_and_release(settings, is_failure_fatal=once)
        if once:
            output.result_console.print(f"Released after {time.monotonic() - began:.0f} s.")
            return
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            supervisor.add(*services(settings))
            _learn_from_sample(settings)
            show_services(settings, supervisor)
            supervisor.add(*dagster_services(settings, socket))
            _show(settings, time.monotonic() - began)
            supervisor.watch()


def down() -> None:
    """Stops what `up`, `build`, `dagster`, `db start` and `spark start` left running here."""
    settings = Settings()
    stopped = Running(settings).end_all()
    if stop_spark(settings):
        stopped.append("Spark")
    embedded = find_serving_store(settings).embedded
    if embedded is not None and embedded.stop():
        stopped.append("PostgreSQL")
    said = ", ".join(stopped) or "nothing was running"
    output.result_console.print(f"Stopped: {said}.", soft_wrap=True)


def _load_sample(settings: Settings) -> None:
    from orchestration.load.run import load
    from orchestration.transform.landed import compile_for_duckdb
    from sample.generate import generate

    domains = _domains_without_sample(settings)
    with ThreadPoolExecutor(max_workers=1) as beside:
        if domains:
            # Learning, which comes next, says if it fails.
            beside.submit(compile_for_duckdb, settings)
        for domain in domains:
            folder = _sample_folder(settings, domain)
            with output.step("sample") as step:
                rows = generate(domain, folder, scale=SAMPLE_SCALE, seed=1, progress=step.update)
                step.result = f"{domain}: {len(rows)} files, {sum(rows.values()):,} rows"
            with output.step("load") as step:
                report = load(
                    settings, domain=domain, from_=folder, sample=True, progress=step.read
                )
                landed = sum(file.rows_landed for file in report.files)
                step.result = f"{domain}: {len(report.files)} files, {landed:,} rows landed"


def _domains_without_sample(settings: Settings) -> list[str]:
    """The domains that lack their sample, or part of it because a load was killed.

    Empty if any of the user's own data was loaded: then everything served should be real.
    """
    from orchestration.build import loaded_domains
    from orchestration.load import landing

    if any(not landing.is_sample(settings, domain) for domain in loaded_domains(settings)):
        return []
    lacking = []
    for domain in SAMPLE_DOMAINS:
        landed = {part.name for part in landing.domain_parts(settings, domain)}
        made = {file.name for file in _sample_folder(settings, domain).glob("*")}
        if not landed or not made <= landed:
            lacking.append(domain)
    return lacking


def _sample_folder(settings: Settings, domain: str) -> Path:
    return settings.data_dir / "sample" / domain


def _build_and_release(settings: Settings, *, is_failure_fatal: bool) -> None:
    from cli.commands.build import prepare
    from cli.commands.release import release_domains
    from orchestration.build import loaded_domains
    from orchestration.load.events import land_events
    from orchestration.release.errors import ReleaseError
    from orchestration.status import build_status, read_status

    land_events(settings)
    due: list[str] = []
    ready: list[str] = []
    for domain in loaded_domains(settings):
        status = build_status(settings, domain)
        (ready if status is not None and status.is_up_to_date else due).append(domain)
    report = None
    refusals: list[str] = []
    if due:
        with output.busy("reading the rules"):
            prepare(settings)
            from orchestration.instance.in_process import run_graph
        outcome = run_graph(settings, due, output)
        report, refusals = outcome.build, outcome.refusals
    refusals += release_domains(settings, ready)[1]
    has_nothing = not any(release.is_current for release in read_status(settings).releases)
    if report is not None and report.failed:
        if is_failure_fatal or has_nothing:
            report.raise_if_failed()
        output.fail(report.message)
        output.note(f"Not released: {', '.join(report.failed)}. What was served before stays.")
    if refusals:
        if is_failure_fatal or has_nothing:
            raise ReleaseError("\n".join(refusals))
        output.fail("\n".join(refusals))


def _learn_from_sample(settings: Settings) -> None:
    """Trains the first coupon-propensity model, so that a sample's customers get offers.

    For the user's own data the weekly schedule or `pollux learn propensity` does that.
    """
    from orchestration.learn.propensity.errors import LearnError
    from orchestration.learn.propensity.training import DOMAIN, train
    from orchestration.load import landing
    from pollux.propensity import cards, models_dir

    if not landing.is_sample(settings, DOMAIN) or cards(models_dir(settings)):
        return
    with output.step("learn") as step:
        try:
            card = train(settings, progress=step.update)
        except LearnError as error:
            # Everything else can be served without it.
            step.has_failed = True
            step.result = str(error)
            return
        step.has_failed = not card.is_promoted
        step.result = f"coupon propensity: {card.trees} trees, PR-AUC "
        step.result += f"{card.test['model'].pr_auc:.4f} on the test"


def _show(settings: Settings, seconds: float) -> None:
    api = url_of(settings, settings.api_port)
    lines = _describe_data(settings)
    lines += [
        ("dashboard", url_of_dashboard(settings)),
        ("a summary", f"{api}/v1/households/1/summary"),
        ("all routes", f"{api}/docs"),
        ("events", describe_broker(settings)),
        ("try", f"{_program()} demo-store in a second terminal: customers in the shop, live"),
        ("pipelines", f"{url_of_dagster(settings)} (in half a minute)"),
    ]
    output.result_console.print(
        f"\n[bold]Pollux is up[/] after {seconds:.1f} s. Ctrl-C stops it.\n"
    )
    for label, text in lines:
        output.result_console.print(f"  {label:<11}{text}", soft_wrap=True)


def _describe_data(settings: Settings) -> list[tuple[str, str]]:
    """What is loaded, built and released; only a note where the database has just gone away."""
    from orchestration.status import read_status

    try:
        status = read_status(settings)
    except (PolluxError, psycopg.Error) as error:
        output.note(f"{first_line(error)}. pollux status shows what is served once it is back.")
        return []
    rows = sum(dataset.rows for dataset in status.datasets)
    kind = " (sample)" if any(dataset.is_sample for dataset in status.datasets) else ""
    lines = [("loaded", f"{len(status.datasets)} datasets, {rows:,} rows{kind}")]
    for build in status.builds:
        counts = f"{build.models} models, {build.tests} tests, {build.seconds:.1f} s"
        lines.append(("built", f"{build.domain} on {build.engine}, {build.status}: {counts}"))
    lines += [
        (
            "released",
            f"{release.domain} {release.number}: {release.rows:,} rows, {release.seconds:.1f} s",
        )
        for release in status.releases
        if release.is_current
    ]
    return lines


def _program() -> str:
    """The command to type to run this program again."""
    is_elsewhere = Path(sys.argv[0]).name == "pollux" and shutil.which("pollux") is None
    return sys.argv[0] if is_elsewhere else "pollux"
