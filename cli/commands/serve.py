"""`pollux serve`: a service in the foreground."""

import typer

from cli import output
from pollux.runtime.settings import Settings

services = typer.Typer(help="Run a service in the foreground.", no_args_is_help=True)


@services.callback()
def _services() -> None:
    """Keeps `api` a sub-command while it is the only one."""


@services.command()
def api() -> None:
    """Serves the released marts over REST."""
    from services.api.server import run

    settings = Settings()
    output.note(f"Serving http://{settings.api_host}:{settings.api_port} until Ctrl-C.")
    run(settings)
