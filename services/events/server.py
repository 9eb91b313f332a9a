"""The event service as a server: its address and its process.

Belongs here: what must be right before the first event. Does not belong here: what is decided.
"""

import asyncio
import logging

from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.common.database import Database
from services.common.port import bind
from services.common.server import serve
from services.events.app import create_app
from services.events.database.migrate import prepare_database
from services.events.settings import read_mqtt_settings


def run(settings: Settings) -> None:
    """Runs one worker until the process is told to stop.

    Raises `PolluxError` for settings that cannot be read, a port in use, a database that cannot be
    reached at the start, a schema that is newer than the program, and a broker or scorer that
    refuses the credentials.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # httpx would log every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    mqtt = read_mqtt_settings()
    serving_store = open_serving_store(settings)
    with serving_store.connect() as connection:
        prepare_database(connection, serving_store)
    asyncio.run(Database(serving_store).check())
    app = create_app(settings, mqtt, serving_store)
    with bind(settings.api_host, settings.events_port, setting="POLLUX_EVENTS_PORT") as listening:
        serve(app, listening)
    for failure in _leaves(app.state.failures):
        if isinstance(failure, PolluxError):
            raise failure
        raise RuntimeError("The event service ended unexpectedly.") from failure


def _leaves(errors: list[BaseException]) -> list[BaseException]:
    """The single errors, also those inside groups; first those that people can fix."""
    found: list[BaseException] = []
    for error in errors:
        inner = list(error.exceptions) if isinstance(error, BaseExceptionGroup) else None
        found += [error] if inner is None else _leaves(inner)
    return sorted(found, key=lambda error: not isinstance(error, PolluxError))
