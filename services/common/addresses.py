"""Where the services of an installation are reached, as URLs."""

from pollux.runtime.settings import Settings


def scoring_url(settings: Settings) -> str:
    """The URL of the scorer."""
    return settings.scoring_url or _here(settings, settings.scoring_port)


def api_url(settings: Settings) -> str:
    """The URL of the API."""
    return settings.api_url or _here(settings, settings.api_port)


def events_url(settings: Settings) -> str:
    """The URL of the event service."""
    return settings.events_url or _here(settings, settings.events_port)


def _here(settings: Settings, port: int) -> str:
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    # A service that listens on all addresses is reached on this machine.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{host}:{port}"
