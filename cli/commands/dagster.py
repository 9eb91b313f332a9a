"""`pollux dagster`: the pipelines' web page and daemon, in the foreground.

Belongs here: what is checked before the processes start, what is said when they are up, Ctrl-C.
Does not belong here: the processes (`cli.supervisor`) and what they run
(`orchestration.defs.definitions`).
"""

import signal

from cli import output
from cli.processes import Running
from cli.supervisor import DAGSTER_HOST, Supervisor, url_of_dagster
from pollux.runtime.settings import Settings


def dagster() -> None:
    """Runs the pipelines: web page, schedules, inbox and alerts, until Ctrl-C."""
    from services.common.port import check_port_is_free

    settings = Settings()
    # A shell that started this in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = Running(settings, "dagster")
    with running.only_one():
        check_port_is_free(DAGSTER_HOST, settings.dagster_port, setting="POLLUX_DAGSTER_PORT")
        supervisor = Supervisor(settings, running)
        try:
            with supervisor.up():
                _announce(settings)
                supervisor.watch()
        except KeyboardInterrupt:
            output.progress_console.print("Stopping.")


def _announce(settings: Settings) -> None:
    output.result_console.print(
        f"Dagster is ready on {url_of_dagster(settings)}. Files in {settings.inbox_dir}/<domain> "
        "are loaded, built and released. Ctrl-C stops it.",
        soft_wrap=True,
    )
