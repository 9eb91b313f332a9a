"""`pollux db`, `query` and `env`: the serving database by hand.

Belongs here: starting and stopping its server, psql, a read-only query, variables for a shell. Does
not belong here: its address and roles (`pollux.runtime.serving`), and releases (`release`).
"""

import os
import shlex
import shutil
import subprocess
from enum import StrEnum
from typing import Annotated

import psycopg
import typer

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.postgres import binaries_dir
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import running_spark
from pollux.runtime.spark_connect import SparkServer

database = typer.Typer(help="The serving database: start, stop, psql.", no_args_is_help=True)

QUERY_TIMEOUT_SECONDS = 60


class Format(StrEnum):
    """How `query` prints its rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class QueryError(PolluxError):
    """A query that the serving database does not answer."""


@database.command()
def start() -> None:
    """Starts the embedded PostgreSQL and leaves it running until `pollux db stop`."""
    serving_store = open_serving_store(Settings())
    if serving_store.embedded is None:
        raise PolluxError("POLLUX_DATABASE_URL is set: Pollux does not start that server.")
    serving_store.embedded.keep()
    output.result_console.print(serving_store.owner_url, markup=False, soft_wrap=True)


@database.command()
def stop() -> None:
    """Stops the embedded PostgreSQL, even if it is in use."""
    serving_store = find_serving_store(Settings())
    if serving_store.embedded is None:
        raise PolluxError("POLLUX_DATABASE_URL is set: Pollux does not stop that server.")
    was_running = serving_store.embedded.stop()
    output.result_console.print("stopped" if was_running else "it was not running")


@database.command()
def psql() -> None:
    """Opens psql on the serving database, as its owner."""
    serving_store = open_serving_store(Settings())
    program = shutil.which("psql") or str(binaries_dir() / "psql")
    environment = os.environ | serving_store.libpq_environment()
    raise typer.Exit(subprocess.run([program], env=environment, check=False).returncode)


def query(
    statement: Annotated[str, typer.Argument(help="A select, such as: select * from hh_summary.")],
    kind: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.TABLE,
) -> None:
    """Queries the serving database, read-only; tables of current releases need no schema."""
    with _reader(Settings()) as connection:
        domains = (
            "select string_agg(quote_ident(domain), ', ' order by domain) from release.current"
        )
        try:
            found = connection.execute(domains).fetchone()
            connection.execute(f"set statement_timeout = '{QUERY_TIMEOUT_SECONDS}s'".encode())
            if found and found[0]:
                connection.execute(f"set search_path = {found[0]}".encode())
            # A prepared statement can only be a single one.
            cursor = connection.execute(statement.encode("utf-8", "surrogateescape"), prepare=True)
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from error
        if cursor.description is None:
            raise QueryError("That statement returns no rows: only a select is answered.")
        columns = [column.name for column in cursor.description]
        output.print_rows(columns, cursor.fetchall(), kind)


def _reader(settings: Settings) -> psycopg.Connection:
    """A connection as the reader; raises `QueryError` if no release was ever made."""
    if find_serving_store(settings).is_made():
        serving_store = open_serving_store(settings)
        with serving_store.connect() as connection:
            found = connection.execute("select to_regclass('release.current')").fetchone()
            if found is not None and found[0] is not None:
                return serving_store.connect_reader()
    raise QueryError(
        "Nothing has been released yet: pollux up makes sample data and releases it, pollux load "
        "and pollux build do so with yours."
    )


def env() -> None:
    """Prints what a shell needs for a bare dbt on any target: eval "$(pollux env)"."""
    from orchestration.transform.study import study_of

    settings = Settings()
    serving_store = find_serving_store(settings)
    variables = {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "POLLUX_STUDY": study_of(settings),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    } | serving_store.libpq_environment()
    server = _spark_of_shell(settings)
    if server is not None:
        variables |= server.environment() | {
            "POLLUX_LAKE_URL": settings.spark_lake,
            "POLLUX_LANDING_URL": settings.spark_landing,
        }
    for name, value in variables.items():
        output.result_console.print(
            f"export {name}={shlex.quote(value)}", markup=False, soft_wrap=True
        )
    if serving_store.embedded is not None and not serving_store.embedded.is_running():
        output.note("The embedded PostgreSQL is not running; pollux db start starts it.")
    if server is None and settings.engine == "spark":
        output.note("No Spark server is running; pollux spark start starts one.")


def _spark_of_shell(settings: Settings) -> SparkServer | None:
    if settings.spark_remote is not None:
        return SparkServer(settings.spark_remote.get_secret_value())
    return running_spark(settings)
