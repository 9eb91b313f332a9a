"""The `pollux` command: its sub-commands by name, and how errors end it.

Each sub-command is in its own module, which is imported only when it runs, so that `pollux --help`
is quick.
"""

import logging
import signal
import sys
from importlib.metadata import version as version_of
from typing import Annotated

import typer
from pydantic import ValidationError

from cli import output
from cli.commands import (
    backup,
    build,
    data,
    database,
    evaluate,
    events,
    keys,
    learn,
    release,
    serve,
    subjects,
    up,
)
from cli.commands.dagster import dagster
from cli.commands.demo_store import demo_store
from cli.commands.doctor import doctor
from cli.commands.install_service import install_service
from cli.commands.spark import spark
from cli.explain import check_limits, explain
from pollux.masking import mask_logged_errors, where_raised
from pollux.runtime.errors import PolluxError
from pollux.runtime.libpq import drop_environment
from pollux.runtime.privacy import close_folder
from pollux.runtime.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(up.down)
app.command()(data.sample)
app.command()(data.load)
app.command()(build.build)
app.command()(release.release)
app.command()(release.rollback)
app.command()(release.status)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(database.query)
app.command()(database.env)
app.add_typer(database.database, name="db")
app.add_typer(spark, name="spark")
app.add_typer(learn.models, name="learn")
app.add_typer(serve.services, name="serve")
app.add_typer(events.events, name="events")
app.add_typer(keys.keys, name="keys")
app.command()(subjects.erase)
app.command()(subjects.erasures)
app.command(name="export-subject")(subjects.export_subject)
app.command(name="demo-store")(demo_store)
app.command()(dagster)
app.add_typer(evaluate.evaluations, name="evaluate")
app.command()(doctor)
app.command(name="install-service")(install_service)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        output.result_console.print(f"pollux {version_of('pollux')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From a retailer's raw data to tested, served answers about its customers."""
    check_limits()
    close_folder(Settings().data_dir)


def run() -> int:
    """Runs the command and returns its exit code; an error that a user can fix is one message."""
    output.allow_any_terminal()
    drop_environment()
    mask_logged_errors()
    # Without a handler psycopg's warnings on a lost connection go to the screen; errors are raised.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    # Signals end the command like an exit, so that it stops the processes it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        app()
    except PolluxError as error:
        output.fail(str(error))
        return error.exit_code
    except ValidationError as error:
        for problem in error.errors():
            variable = "POLLUX_" + "_".join(str(part) for part in problem["loc"]).upper()
            output.fail(f"{variable}: {problem['msg']}")
        return 2
    except KeyboardInterrupt:
        output.fail("Interrupted.")
        return 130
    except SystemExit as ended:
        # Typer turns a Ctrl-C within a command into an exit without a word.
        if isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt):
            output.fail("Interrupted.")
        raise
    except Exception as error:
        # A full disk, a folder that cannot be written, a lost connection.
        text = explain(error)
        if text is None:
            # Without what it says: that may be data, and the log of a service would keep it.
            output.fail(f"Pollux failed. Please report where:\n{where_raised(error)}")
            return 1
        output.fail(text)
        return 3 if type(error).__module__.partition(".")[0] == "psycopg" else 1
    return 0
