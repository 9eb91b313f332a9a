"""The `pollux` command: its sub-commands by name, and how errors end it.

Each sub-command is in its own module, which is imported only when it runs, so that `pollux --help`
is quick.
"""

import logging
import signal
import sys
from typing import Annotated

import typer

from cli.explain import check_limits, explain
from cli.lazy import lazy_group
from pollux.masking import mask_logged_errors, where_raised
from pollux.runtime.errors import PolluxError
from pollux.runtime.libpq import drop_environment
from pollux.runtime.privacy import close_folder

COMMANDS = {
    "up": "cli.commands.up:up",
    "down": "cli.commands.up:down",
    "sample": "cli.commands.data:sample",
    "load": "cli.commands.data:load",
    "build": "cli.commands.build:build",
    "release": "cli.commands.release:release",
    "rollback": "cli.commands.release:rollback",
    "status": "cli.commands.release:status",
    "backup": "cli.commands.backup:backup",
    "restore": "cli.commands.backup:restore",
    "query": "cli.commands.database:query",
    "env": "cli.commands.database:env",
    "erase": "cli.commands.subjects:erase",
    "erasures": "cli.commands.subjects:erasures",
    "export-subject": "cli.commands.subjects:export_subject",
    "demo-store": "cli.commands.demo_store:demo_store",
    "dagster": "cli.commands.dagster:dagster",
    "doctor": "cli.commands.doctor:doctor",
    "install-service": "cli.commands.install_service:install_service",
    "db": "cli.commands.database:database",
    "spark": "cli.commands.spark:spark",
    "learn": "cli.commands.learn:models",
    "serve": "cli.commands.serve:services",
    "events": "cli.commands.events:events",
    "keys": "cli.commands.keys:keys",
    "evaluate": "cli.commands.evaluate:evaluations",
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version as version_of

        from cli import output

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
    from pollux.runtime.settings import Settings

    # From here on an interruption ends what was begun. Also where a shell that started this in the
    # background set SIGINT to be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    check_limits()
    close_folder(Settings().data_dir)


def run() -> int:
    """Runs the command and returns its exit code; an error that a user can fix is one message."""
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
        _fail(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _fail("Interrupted.")
        return 130
    except SystemExit as ended:
        # Typer turns a Ctrl-C within a command into an exit without a word.
        if isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt):
            _fail("Interrupted.")
        raise
    except Exception as error:
        # Not at the top, which --help would wait for.
        from pydantic import ValidationError

        if isinstance(error, ValidationError):
            for problem in error.errors():
                variable = "POLLUX_" + "_".join(str(part) for part in problem["loc"]).upper()
                _fail(f"{variable}: {problem['msg']}")
            return 2
        # A full disk, a folder that cannot be written, a lost connection.
        text = explain(error)
        if text is None:
            # Without what it says: that may be data, and the log of a service would keep it.
            _fail(f"Pollux failed. Please report where:\n{where_raised(error)}")
            return 1
        _fail(text)
        return 3 if type(error).__module__.partition(".")[0] == "psycopg" else 1
    return 0


def _fail(text: str) -> None:
    from cli import output

    output.fail(text)
