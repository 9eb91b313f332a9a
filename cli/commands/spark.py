"""`pollux spark`: the installation's own Spark server by hand.

`pollux.runtime.spark` starts and ends it; a build with engine spark does so by itself.
"""

import re
from typing import Annotated

import typer

from cli import output
from pollux.runtime.settings import Settings
from pollux.runtime.spark import WORKER_MEMORY, start_spark, stop_spark

spark = typer.Typer(help="The Spark server of engine spark: start, stop.", no_args_is_help=True)

MEMORY = re.compile(r"[1-9]\d*[mg]")


def _memory(value: str) -> str:
    if not MEMORY.fullmatch(value):
        raise typer.BadParameter(f"{value} is no size such as 1500m or 2g")
    return value


@spark.command()
def start(
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            help="Start a standalone cluster with so many workers; 0 is one local process.",
        ),
    ] = 0,
    memory: Annotated[
        str, typer.Option(callback=_memory, help="Memory of each worker, such as 1500m or 2g.")
    ] = WORKER_MEMORY,
) -> None:
    """Starts Spark on this machine for builds; it runs until `pollux spark stop`."""
    settings = Settings()
    with output.step("spark") as step:
        step.update("starting")
        server = start_spark(settings, workers=workers, memory=memory)
        step.result = server.describe()
    output.result_console.print(server.remote, markup=False, soft_wrap=True)


@spark.command()
def stop() -> None:
    """Ends the Spark server with all its workers, even if a build uses it."""
    was_running = stop_spark(Settings())
    output.result_console.print("stopped" if was_running else "it was not running")
