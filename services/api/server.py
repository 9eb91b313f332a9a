"""The API as a server: its address and its process.

Belongs here: what must be right before the first request. Does not belong here: what is answered.
"""

from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.common.port import bind
from services.common.server import serve


def run(settings: Settings) -> None:
    """Serves the API until the process is told to stop.

    Starts the embedded database where there is no other. Raises `PolluxError` for a port in use,
    keys that cannot be read, or an open address without keys.
    """
    app = create_app(settings)
    with bind(settings.api_host, settings.api_port) as listening:
        # A database of yours may come later: the app waits for it.
        if find_serving_store(settings).embedded is not None:
            open_serving_store(settings)
        serve(app, listening)
