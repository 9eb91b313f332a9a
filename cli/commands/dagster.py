"""`pollux dagster`: the pipelines' web page and daemon, in the foreground.

`cli.dagster` describes the processes, `orchestration.defs.definitions` what they run.
"""

from contextlib import ExitStack

from cli import output
from cli.dagster import WEB_PAGE, dagster_services, socket_of_code, url_of_dagster
from cli.processes import DAGSTER, Running
from cli.supervisor import Supervisor, database_kept_running
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import stop_spark

READY_SECONDS = 120


def dagster() -> None:
    """Runs the pipelines: web page, schedules, inbox and alerts, until Ctrl-C."""
    from services.common.port import check_port_is_free

    settings = Settings()
    running = Running(settings)
    with running.only_one(DAGSTER), socket_of_code() as socket, ExitStack() as stack:
        stack.callback(stop_spark, settings, only_unasked=True)
        check_port_is_free(
            settings.dagster_host, settings.dagster_port, setting="POLLUX_DAGSTER_PORT"
        )
        open_serving_store(settings)
        supervisor = Supervisor(settings, running, DAGSTER)
        with database_kept_running(settings), supervisor.stopped_at_the_end():
            supervisor.add(*dagster_services(settings, socket))
            if problem := supervisor.wait(WEB_PAGE, seconds=READY_SECONDS):
                output.fail(f"{WEB_PAGE}: {problem}")
            else:
                _announce(settings)
            supervisor.watch()


def _announce(settings: Settings) -> None:
    output.result_console.print(
        f"Dagster is ready on {url_of_dagster(settings)}. Files in {settings.inbox_dir}/<domain> "
        "are loaded, built and released. Ctrl-C stops it.",
        soft_wrap=True,
    )
