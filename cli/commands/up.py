"""`pollux up` and `down`: everything an installation runs, started and stopped."""

import signal
import time
from typing import Annotated

import typer

from cli import output
from cli.processes import end, only_one, serve_api, started, url_of, wait
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

SAMPLE_SCALE = 0.1
SAMPLE_DOMAINS = ("customer", "household", "loyalty", "store")


def up(
    once: Annotated[
        bool, typer.Option("--once", help="End when everything is released; serve nothing.")
    ] = False,
) -> None:
    """Starts everything: database, data, marts, release, API. Ctrl-C stops what it started."""
    settings = Settings()
    began = time.monotonic()
    # A shell that started this in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with only_one(settings):
        if not once:
            _check_port(settings)
        with output.step("database") as step:
            store = open_serving_store(settings)
            step.result = "embedded PostgreSQL" if store.embedded else "your PostgreSQL"
        _load_sample(settings)
        _build_and_release(settings, is_failure_fatal=once)
        if once:
            output.result_console.print(f"Released after {time.monotonic() - began:.0f} s.")
            return
        with serve_api(settings) as process:
            _show(settings, time.monotonic() - began)
            wait(process)


def down() -> None:
    """Stops what `pollux up` and `pollux db start` started for this data folder."""
    settings = Settings()
    stopped = []
    for name, process in started(settings).items():
        end(process)
        stopped.append(name)
    embedded = find_serving_store(settings).embedded
    if embedded is not None and embedded.stop():
        stopped.append("PostgreSQL")
    output.result_console.print("Stopped: " + (", ".join(stopped) or "nothing was running") + ".")


def _check_port(settings: Settings) -> None:
    from services.common.port import check_port_is_free

    check_port_is_free(settings.api_host, settings.api_port)


def _load_sample(settings: Settings) -> None:
    from orchestration.load.run import load
    from orchestration.sample.generate import generate

    for domain in SAMPLE_DOMAINS if _needs_sample(settings) else ():
        folder = settings.data_dir / "sample" / domain
        with output.step("sample") as step:
            rows = generate(domain, folder, scale=SAMPLE_SCALE, seed=1, progress=step.update)
            step.result = f"{domain}: {len(rows)} files, {sum(rows.values()):,} rows"
        with output.step("load") as step:
            report = load(settings, domain=domain, from_=folder, sample=True, progress=step.read)
            landed = sum(file.rows_landed for file in report.files)
            step.result = f"{domain}: {len(report.files)} files, {landed:,} rows landed"


def _needs_sample(settings: Settings) -> bool:
    """Whether nothing was loaded, or only a part of the sample, because a load was killed."""
    from orchestration.load import landing
    from orchestration.load.declarations import read_datasets
    from orchestration.transform.build import loaded_domains

    loaded = loaded_domains(settings)
    if any(not landing.is_sample(settings, domain) for domain in loaded):
        return False
    datasets = [d for d in read_datasets(PROJECT_DIR).values() if d.domain in SAMPLE_DOMAINS]
    return not all(landing.parts(settings, dataset) for dataset in datasets)


def _build_and_release(settings: Settings, *, is_failure_fatal: bool) -> None:
    from cli.commands.release import release_domains
    from orchestration.release.errors import ReleaseError
    from orchestration.status import build_status, read_status
    from orchestration.transform.build import build, loaded_domains

    due: list[str] = []
    ready: list[str] = []
    for domain in loaded_domains(settings):
        status = build_status(settings, domain)
        (ready if status is not None and status.is_up_to_date else due).append(domain)
    report = None
    if due:
        with output.step("build") as step:
            report = build(settings, due, progress=step.count)
            step.result = f"{report.models} models, {report.tests} tests on {settings.engine}"
            step.has_failed = bool(report.failed)
        ready += report.passed
    _, failures = release_domains(settings, sorted(ready))
    has_nothing = not any(release.is_current for release in read_status(settings).releases)
    if report is not None and report.failed:
        if is_failure_fatal or has_nothing:
            report.raise_if_failed()
        output.fail(report.message)
        output.note(f"Not released: {', '.join(report.failed)}. What was served before stays.")
    if failures:
        if is_failure_fatal or has_nothing:
            raise ReleaseError("\n".join(failures))
        output.fail("\n".join(failures))


def _show(settings: Settings, seconds: float) -> None:
    from orchestration.status import read_status

    status = read_status(settings)
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
    lines += [
        ("a summary", f"{url_of(settings)}/v1/households/1/summary"),
        ("all routes", f"{url_of(settings)}/docs"),
    ]
    output.result_console.print(
        f"\n[bold]Pollux is up[/] after {seconds:.1f} s. Ctrl-C stops it.\n"
    )
    for label, text in lines:
        output.result_console.print(f"  {label:<11}{text}", soft_wrap=True)
