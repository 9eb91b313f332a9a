"""`pollux up` and `down`: everything an installation runs, started and stopped."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import psutil
import typer
from filelock import FileLock, Timeout

from cli import output
from cli.commands.release import release_domain
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings

SAMPLE_SCALE = 0.1
SAMPLE_DOMAINS = ("household",)
READY_SECONDS = 30
STOP_SECONDS = 10


class UpError(PolluxError):
    """Something that `pollux up` started did not come up or did not stay."""


def up(
    once: Annotated[
        bool, typer.Option("--once", help="End when everything is released; serve nothing.")
    ] = False,
) -> None:
    """Starts everything: database, data, marts, release, API. Ctrl-C stops what it started."""
    settings = Settings()
    started = time.monotonic()
    # A shell that started this in the background may have SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with _only_one(settings):
        if not once:
            _check_port(settings)
        with output.step("database") as step:
            store = open_serving_store(settings)
            step.result = "embedded PostgreSQL" if store.embedded else "your PostgreSQL"
        _load_sample(settings)
        _build_and_release(settings)
        if once:
            output.result_console.print(f"Released after {time.monotonic() - started:.0f} s.")
            return
        with _api(settings) as process:
            _show(settings, time.monotonic() - started)
            _wait(process)


def down() -> None:
    """Stops what `pollux up` and `pollux db start` started for this data folder."""
    settings = Settings()
    stopped = []
    process = _running_up(settings)
    if process is not None:
        process.terminate()
        _wait_for_end(process)
        stopped.append("pollux up")
    embedded = find_serving_store(settings).embedded
    if embedded is not None and embedded.stop():
        stopped.append("PostgreSQL")
    output.result_console.print("Stopped: " + (", ".join(stopped) or "nothing was running") + ".")


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    record = settings.data_dir / "up.json"
    try:
        with FileLock(settings.data_dir / "up.lock", timeout=0):
            record.write_text(json.dumps({"pid": os.getpid()}))
            yield
            record.unlink(missing_ok=True)
    except Timeout:
        process = _running_up(settings)
        which = f" (process {process.pid})" if process else ""
        raise UpError(
            f"Pollux is up already for {settings.data_dir}{which}. pollux down stops it."
        ) from None


def _running_up(settings: Settings) -> psutil.Process | None:
    try:
        process = psutil.Process(json.loads((settings.data_dir / "up.json").read_text())["pid"])
        is_ours = "up" in process.cmdline() and process.pid != os.getpid()
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return process if is_ours else None


def _wait_for_end(process: psutil.Process) -> None:
    deadline = time.monotonic() + 3 * STOP_SECONDS
    # A process that its parent has not asked for yet is a zombie: it has ended.
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            raise UpError(f"pollux up (process {process.pid}) does not end; kill it by hand.")
        time.sleep(0.1)


def _check_port(settings: Settings) -> None:
    from services.common.port import check_port_is_free

    check_port_is_free(settings.api_host, settings.api_port)


def _load_sample(settings: Settings) -> None:
    from orchestration.load.run import load
    from orchestration.sample.generate import generate
    from orchestration.transform.build import loaded_domains

    if loaded_domains(settings):
        return
    for domain in SAMPLE_DOMAINS:
        folder = settings.data_dir / "sample" / domain
        with output.step("sample") as step:
            rows = generate(domain, folder, scale=SAMPLE_SCALE, seed=1, progress=step.update)
            step.result = f"{domain}: {len(rows)} files, {sum(rows.values()):,} rows"
        with output.step("load") as step:
            report = load(settings, domain=domain, from_=folder, sample=True, progress=step.read)
            landed = sum(file.rows_landed for file in report.files)
            step.result = f"{domain}: {len(report.files)} files, {landed:,} rows landed"


def _build_and_release(settings: Settings) -> None:
    from orchestration.status import build_status
    from orchestration.transform.build import build, loaded_domains

    due = []
    for domain in loaded_domains(settings):
        status = build_status(settings, domain)
        if status is None or not status.is_up_to_date:
            due.append(domain)
    if due:
        with output.step("build") as step:
            report = build(settings, due, progress=step.count)
            step.result = f"{report.models} models, {report.tests} tests on {settings.engine}"
            step.has_failed = bool(report.failed)
        if report.failed:
            output.fail(report.message)
            output.note(f"Not released: {', '.join(report.failed)}. What was served before stays.")
    for domain in loaded_domains(settings):
        status = build_status(settings, domain)
        if status is not None and status.is_up_to_date:
            release_domain(settings, domain)


@contextmanager
def _api(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with (settings.logs_dir / "api.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "serve", "api"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with output.step("api") as step:
            _wait_until_ready(settings, process)
            step.result = f"ready on {_url(settings)}"
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{_url(settings)}/readyz", timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise UpError(f"The API did not come up:\n{_log_tail(settings)}")


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        code = process.wait()
    except KeyboardInterrupt:
        output.progress_console.print("Stopping.")
        return
    raise UpError(f"The API ended by itself with code {code}; see api.log in the logs folder.")


def _log_tail(settings: Settings) -> str:
    lines = (settings.logs_dir / "api.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-10:])


def _url(settings: Settings) -> str:
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"http://{host}:{settings.api_port}"


def _show(settings: Settings, seconds: float) -> None:
    from orchestration.status import read_status

    status = read_status(settings)
    rows = sum(dataset.rows for dataset in status.datasets)
    kind = " (sample)" if any(dataset.is_sample for dataset in status.datasets) else ""
    lines: Sequence[tuple[str, str]] = [
        ("loaded", f"{len(status.datasets)} datasets, {rows:,} rows{kind}"),
        *(
            (
                "released",
                f"{release.domain} {release.number}: {release.rows:,} rows",
            )
            for release in status.releases
            if release.is_current
        ),
        ("a summary", f"{_url(settings)}/v1/households/1/summary"),
        ("all routes", f"{_url(settings)}/docs"),
    ]
    output.result_console.print(
        f"\n[bold]Pollux is up[/] after {seconds:.1f} s. Ctrl-C stops it.\n"
    )
    for label, text in lines:
        output.result_console.print(f"  {label:<11}{text}", soft_wrap=True)
