"""`pollux serve`: runs one service in the foreground; `up` runs all of them."""

import typer

from cli import output
from cli.serving import url_of, url_of_dashboard
from pollux.runtime.settings import Settings

services = typer.Typer(help="Run a service in the foreground.", no_args_is_help=True)


@services.command()
def api() -> None:
    """Serves the released marts over REST."""
    from services.api.server import run

    settings = Settings()
    output.note(f"Serving {url_of(settings, settings.api_port)} until Ctrl-C.")
    run(settings)


@services.command()
def scoring() -> None:
    """Serves the coupon-propensity model: how likely a customer is to use a coupon."""
    from services.scoring.server import run

    settings = Settings()
    output.note(f"Serving {url_of(settings, settings.scoring_port)} until Ctrl-C.")
    run(settings)


@services.command()
def events() -> None:
    """Answers in-store events over MQTT: one worker; a second one runs beside it."""
    from services.events.server import run

    settings = Settings()
    output.note(f"Serving {url_of(settings, settings.events_port)} until Ctrl-C.")
    run(settings)


@services.command()
def live() -> None:
    """Computes what customers just did into the rows that are answered live; one does the work."""
    from services.live.server import run

    settings = Settings()
    output.note(f"Serving {url_of(settings, settings.live_port)} until Ctrl-C.")
    run(settings)


@services.command()
def dashboard() -> None:
    """Serves the dashboard: pages over the API for the people who decide."""
    from services.dashboard.server import run

    settings = Settings()
    output.note(f"Serving {url_of_dashboard(settings)} until Ctrl-C.")
    run(settings)
