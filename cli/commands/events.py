"""`pollux events`: who may use the broker, and messages that the event service could not read.

Belongs here: listing clients and dead letters, printing untrusted messages safely, requesting a
replay. Does not belong here: who may do what (`services.events.broker.clients`), reading and
marking dead letters (`services.events.database.dead_letters`), and running the service (`serve`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import psycopg
import typer

from cli import output
from cli.options import JSON
from pollux.runtime.broker_access import access_dir, passwords_of
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings

events = typer.Typer(
    help="Clients of the broker; events that could not be read.", no_args_is_help=True
)

SHOWN_CHARACTERS = 200


@events.command()
def clients(
    show: Annotated[bool, typer.Option("--show", help="Print the passwords, too.")] = False,
    as_json: JSON = False,
) -> None:
    """Lists who may use the broker that pollux up runs, and for which topics."""
    from services.events.broker.clients import SERVICE, broker_clients
    from services.events.settings import read_mqtt_settings

    settings, mqtt = Settings(), read_mqtt_settings()
    if mqtt.mqtt_host is not None:
        raise PolluxError("MQTT_HOST is set: that broker, and who may use it, is yours.")
    known = [one for one in broker_clients(settings, mqtt) if one.name != SERVICE]
    passwords = passwords_of(settings, [client.name for client in known])
    columns = ["client", "publishes", "reads", *(["password"] if show else [])]
    rows: list[list[Any]] = [
        [client.name, client.publishes, client.reads, *([passwords[client.name]] if show else [])]
        for client in known
    ]
    if as_json:
        output.print_rows(columns, rows, "json")
        return
    shown = [[", ".join(one) if isinstance(one, list) else one for one in row] for row in rows]
    output.print_rows(columns, shown, "table")
    output.note(
        "mosquitto_pub and mosquitto_sub log in as a client with "
        f"XDG_CONFIG_HOME={access_dir(settings)}/CLIENT before them."
    )


@events.command(name="dead-letters")
def dead_letters(
    show: Annotated[
        bool, typer.Option("--show", help="Print the messages, too: they may name people.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that a replay has resolved.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """Lists messages that could not be read, and why; without the messages themselves."""
    from services.events.database.dead_letters import DeadLetter, read_dead_letters

    letters: list[DeadLetter] = []
    with _connection() as connection:
        if connection is not None:
            letters = read_dead_letters(connection, limit=limit, with_resolved=everything)
    columns = ["id", "kind", "reason", "attempts", "received at", "state"]
    rows: list[list[Any]] = [
        [
            letter.id,
            letter.kind,
            letter.reason,
            letter.attempts,
            f"{letter.received_at:%Y-%m-%d %H:%M:%S}",
            letter.state,
        ]
        for letter in letters
    ]
    if show:
        columns.append("message")
        for row, letter in zip(rows, letters, strict=True):
            text = _printable(letter.payload)
            row.append(text if as_json or len(text) <= SHOWN_CHARACTERS else _cut(text))
    if as_json:
        names = [name.replace(" ", "_") for name in columns]
        output.print_rows(names, rows, "json")
    elif rows:
        output.print_rows(columns, rows, "table")
    else:
        output.result_console.print("No dead letters.")


@events.command()
def replay(
    ids: Annotated[
        list[int] | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Only this one; may be given several times. Default: all open.",
        ),
    ] = None,
) -> None:
    """Replays dead letters, once their cause is fixed; a running worker reads them again."""
    from services.events.database.dead_letters import DeadLetterError, ask_for_replay

    with _connection() as connection:
        if connection is None and ids:
            raise DeadLetterError("There are no dead letters: no event service has run here yet.")
        asked = 0 if connection is None else ask_for_replay(connection, ids)
    if asked == 0:
        output.result_console.print("No dead letters to replay.")
        return
    letters = "1 dead letter is" if asked == 1 else f"{asked} dead letters are"
    output.result_console.print(
        f"{letters} read again by the next worker that checks; pollux events dead-letters shows "
        "what is left.",
        soft_wrap=True,
    )


@contextmanager
def _connection() -> Iterator[psycopg.Connection | None]:
    """A connection to the events' database, None if no event service has run yet."""
    from services.events.database.dead_letters import has_events

    settings = Settings()
    embedded = find_serving_store(settings).embedded
    # Do not create a server only to find it empty.
    if embedded is not None and not embedded.cluster.exists():
        yield None
        return
    with open_serving_store(settings).connect() as connection:
        yield connection if has_events(connection) else None


def _printable(payload: bytes) -> str:
    # An untrusted message must not control the terminal.
    text = payload.decode("utf-8", "backslashreplace")
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _cut(text: str) -> str:
    return f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters; --json shows all)"
