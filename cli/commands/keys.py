"""`pollux keys`: who may ask the services for what.

Belongs here: making, listing, replacing and ending keys. Does not belong here: where they are kept
(`pollux.runtime.keys`) and how requests are checked (`services.common.require_key`).
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli import output
from cli.options import JSON
from pollux.runtime.keys import (
    MEANINGS,
    MOST_PER_MINUTE,
    KeyScope,
    StoredKey,
    add_key,
    in_order,
    keys_file,
    last_used,
    read_keys,
    revoke_key,
    rotate_key,
)
from pollux.runtime.settings import Settings

keys = typer.Typer(help="Keys of the API, the scorer and the event service.", no_args_is_help=True)

NAME = Annotated[str, typer.Argument(help="Whose key it is, such as shop-app.")]


@keys.command()
def add(
    name: NAME,
    scopes: Annotated[
        list[KeyScope] | None,
        typer.Option("--scope", help="What it opens; may be given several times."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(help="It expires after so many days. Default: never.")
    ] = None,
    per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_PER_MINUTE,
            help="Each service takes so many requests a minute. Default: any number.",
        ),
    ] = None,
) -> None:
    """Makes a key and prints it, this once; running services accept it within a second."""
    if not scopes:
        meanings = "\n".join(f"  {scope:<16} {meaning}" for scope, meaning in MEANINGS.items())
        raise typer.BadParameter(f"Say what the key opens, with --scope:\n{meanings}")
    if days is not None and not days > 0:
        raise typer.BadParameter("--days must be above 0.")
    settings = Settings()
    is_first = read_keys(keys_file(settings)) is None and not settings.api_keys
    _print(add_key(settings, name, scopes, days=days, per_minute=per_minute), name)
    if is_first:
        output.note("From now on the services of this installation require a key.")


@keys.command(name="list")
def list_keys(as_json: JSON = False) -> None:
    """Lists keys, without the keys themselves."""
    settings = Settings()
    file = keys_file(settings)
    stored = read_keys(file)
    rows = [_row(key, last_used(file, key.name)) for key in stored or ()]
    hashes = [text.strip() for text in settings.api_keys.split(",") if text.strip()]
    rows += [_of_setting(text) for text in hashes]
    if as_json:
        output.print_json(rows)
    elif rows:
        shown = [[_shown(value) for value in row.values()] for row in rows]
        output.print_rows([name.replace("_", " ") for name in rows[0]], shown, "table")
    elif stored is None:
        output.result_console.print("No keys: the services answer everybody on this machine.")
    else:
        output.result_console.print("No keys, and the services require one: they answer nobody.")


@keys.command()
def revoke(name: NAME) -> None:
    """Ends a key; running services refuse it within a second."""
    revoke_key(Settings(), name)
    output.result_console.print(f"{name} is revoked.")


@keys.command()
def rotate(
    name: NAME,
    overlap_minutes: Annotated[
        int,
        typer.Option(min=0, max=60 * 24 * 366, help="The old key is accepted for so long."),
    ] = 0,
) -> None:
    """Replaces a key and prints the new one, this once; all else about it stays."""
    _print(rotate_key(Settings(), name, overlap_minutes=overlap_minutes), name)
    if overlap_minutes:
        output.note(f"The old key is accepted for {overlap_minutes} more minutes.")


def _print(key: str, name: str) -> None:
    output.note(f"This is the key {name}. It is shown this once: only its hash is kept.")
    output.result_console.print(key, markup=False, soft_wrap=True)


def _row(key: StoredKey, used_at: datetime | None) -> dict[str, Any]:
    limits = {"expires_at": key.expires_at, "per_minute": key.per_minute}
    times = {"made_at": key.made_at, **limits, "last_used_at": used_at}
    now = datetime.now(UTC)
    is_over = key.expires_at is not None and key.expires_at <= now
    return {
        "name": key.name,
        "scopes": in_order(key.scopes),
        **times,
        "state": "expired" if is_over else "accepted",
    }


def _of_setting(text: str) -> dict[str, Any]:
    """A key of POLLUX_API_KEYS, as the log of requests calls it."""
    empty = dict.fromkeys(("made_at", "expires_at", "per_minute", "last_used_at"))
    name = f"setting:{text.lower()[:8]}"
    return {"name": name, "scopes": in_order(KeyScope), **empty, "state": "accepted"}


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(value) if len(value) < len(KeyScope) else "all"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value
