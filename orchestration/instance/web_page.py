"""Dagster's web page behind the check of `orchestration.instance.web_guard`: a program.

It does what `python -m dagster_webserver` does, which takes no middleware, and remembers a code
server that it did not find: here it waits for one, with everything imported.
"""

import argparse
import time
from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
)
from dagster_webserver.version import __version__

from orchestration.instance.home import is_code_there
from orchestration.instance.web_guard import Guard
from pollux.runtime.hosts import AllowedHosts
from pollux.runtime.settings import Settings

# How often the page asks for what has changed.
POLL_MILLISECONDS = 2000
# How often it looks for the code server.
LOOK_SECONDS = 0.1


def run(workspace: Path, host: str, port: int) -> None:
    """Serves the page of the instance in DAGSTER_HOME until the process is told to stop.

    Workspace and instance may be written while it waits for the code server.
    """
    while not is_code_there(workspace):
        time.sleep(LOOK_SECONDS)
    configure_loggers()
    # To be told to stop ends the blocks below, too.
    setup_interrupt_handlers()
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(
            DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
        )
        target = WorkspaceFileTarget([str(workspace)])
        settings = Settings()
        with WorkspaceProcessContext(
            instance,
            workspace_load_target=target,
            version=__version__,
            read_only=settings.dagster_read_only,
        ) as context:
            app = create_app_from_workspace_process_context(context, "", POLL_MILLISECONDS)
            guarded = Guard(app, AllowedHosts(settings))
            # h11 bounds the size of a request's head; httptools does not.
            uvicorn.run(
                guarded, host=host, port=port, http="h11", lifespan="off", log_level="warning"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    run(**vars(parser.parse_args()))
