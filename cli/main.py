"""The `pollux` command: its sub-commands by name, and how errors end it.

Belongs here: what every sub-command shares. Each lives in a module of its own, which is imported
only when it runs, so that `pollux --help` is quick.
"""

import os
import signal
import sys

import typer
from pydantic import ValidationError

from cli import output
from cli.commands import backup, build, data, evaluate, events, learn, release, serve, store, up
from cli.commands.dagster import dagster
from cli.commands.demo_store import demo_store
from cli.commands.doctor import doctor
from pollux.runtime.errors import PolluxError
from pollux.runtime.libpq import drop_environment

app = typer.Typer(
    help="From a retailer's raw data to tested, served answers about its customers.",
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
app.command()(store.query)
app.command()(store.env)
app.add_typer(store.database, name="db")
app.add_typer(learn.models, name="learn")
app.add_typer(serve.services, name="serve")
app.add_typer(events.events, name="events")
app.command(name="demo-store")(demo_store)
app.command()(dagster)
app.add_typer(evaluate.evaluations, name="evaluate")
app.command()(doctor)


def main() -> None:
    """Runs the command; an error that a user can mend is one message, not a traceback."""
    output.allow_any_terminal()
    drop_environment()
    # No telemetry, whatever dbt or its adapters default to.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # An end from outside is an end like any other: what was started is stopped.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        app()
    except PolluxError as error:
        output.fail(str(error))
        sys.exit(error.exit_code)
    except ValidationError as error:
        for problem in error.errors():
            variable = "POLLUX_" + "_".join(str(part) for part in problem["loc"]).upper()
            output.fail(f"{variable}: {problem['msg']}")
        sys.exit(2)
    except KeyboardInterrupt:
        output.fail("Interrupted.")
        sys.exit(130)
    except Exception as error:
        # A full disk, a folder that cannot be written, a server that went away.
        package = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and package not in {"psycopg", "duckdb", "_duckdb"}:
            raise
        output.fail(f"{type(error).__name__}: {str(error).strip()}")
        sys.exit(3 if package == "psycopg" else 1)


if __name__ == "__main__":
    main()
