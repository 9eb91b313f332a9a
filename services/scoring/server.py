"""The scorer as a server: its address and its process."""

from pollux.runtime.settings import Settings
from services.common.port import bind
from services.common.server import serve
from services.scoring.app import create_app


def run(settings: Settings) -> None:
    """Serves the scorer until the process is told to stop.

    Raises `PolluxError` for a port in use, keys that cannot be read, or an open address without
    keys.
    """
    app = create_app(settings)
    with bind(settings.api_host, settings.scoring_port, setting="POLLUX_SCORING_PORT") as listening:
        serve(app, listening)
