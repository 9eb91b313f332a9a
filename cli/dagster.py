"""Dagster's processes: code server, daemon and web page.

Belongs here: how each is started and when it is ready. Does not belong here: their configuration
(`orchestration.instance.home`), and keeping them running (`cli.supervisor`).
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from cli.processes import ask, log_of
from cli.supervisor import HANG_SECONDS, Service
from orchestration.instance.workers import workers
from pollux.runtime.processes import end
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step

PATIENCE_SECONDS = 3

CODE_SERVER, DAEMON, WEB_PAGE = "dagster code server", "dagster daemon", "dagster web page"


@contextmanager
def socket_of_code() -> Iterator[Path]:
    """The code server's socket: a short path, in a folder that other users cannot open."""
    folder = Path(tempfile.mkdtemp(prefix="pollux"))
    try:
        yield folder / "code.sock"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dagster_services(settings: Settings, socket: Path) -> list[Service]:
    """All three services, in starting order."""
    from orchestration.instance.home import (
        LOCATION,
        MODULE,
        dagster_environment,
        has_silent_daemons,
        prepare_home,
        workspace_file,
        write_workspace,
    )

    environment = dagster_environment(settings, find_serving_store(settings))
    workspace = ["--workspace", str(workspace_file(settings))]
    code = ["--socket", str(socket), "--module-name", MODULE, "--location-name", LOCATION]
    address = ["--host", settings.dagster_host, "--port", str(settings.dagster_port)]
    quiet = ["--log-level", "warning"]

    def prepare() -> None:
        socket.unlink(missing_ok=True)
        database = open_serving_store(settings)
        step("dagster.database_opened")
        prepare_home(settings, database)
        write_workspace(settings, socket)
        step("dagster.prepared")

    def end_runs() -> None:
        for process in workers(settings):
            end(process)

    def run(module: str, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", module, *arguments]

    return [
        # It imports for seconds, and waits for the code server by itself.
        Service(
            name=WEB_PAGE,
            command=run("orchestration.instance.web_page", *address, *workspace),
            log=log_of(settings, WEB_PAGE),
            environment=environment,
            is_ready=lambda: ask(f"{url_of_dagster(settings)}/server_info")[0] == HTTPStatus.OK,
            stop_seconds=PATIENCE_SECONDS,
        ),
        Service(
            name=CODE_SERVER,
            command=run("dagster", "api", "grpc", *quiet, *code),
            log=log_of(settings, CODE_SERVER),
            environment=environment,
            prepare=prepare,
            is_ready=socket.exists,
            stop_seconds=PATIENCE_SECONDS,
        ),
        # It remembers a code server that it did not find.
        Service(
            name=DAEMON,
            command=run("dagster._daemon", "run", *quiet, *workspace),
            log=log_of(settings, DAEMON),
            environment=environment,
            needs=[CODE_SERVER],
            hangs=lambda: has_silent_daemons(find_serving_store(settings), HANG_SECONDS),
            # The daemon starts runs, so runs are ended after it.
            clear_up=end_runs,
        ),
    ]


def url_of_dagster(settings: Settings) -> str:
    """The URL of Dagster's web page."""
    return f"http://{settings.dagster_host}:{settings.dagster_port}"
