"""The API as a server: its address and its process.

Belongs here: what must be right before the first request. Does not belong here: what is answered.
"""

import asyncio

from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.common.database import Database
from services.common.port import bind
from services.common.server import serve


def run(settings: Settings) -> None:
    """Serves the API until the process is told to stop.

    Starts the embedded database where there is no other. Raises `PolluxError` for a port in use,
    keys that cannot be read, an open address without keys, or a database that refuses for good.
    """
    app = create_app(settings)
    with bind(settings.api_host, settings.api_port) as listening:
        # A database of yours may come later: the app waits for it.
        serving_store = find_serving_store(settings)
        if serving_store.embedded is not None:
            open_serving_store(settings)
        else:
            asyncio.run(Database(serving_store).check())
        serve(app, listening)
