"""The updater as a server: its address and its process."""

import logging
import os

from pollux.runtime.live_models import LiveModels
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.common.port import bind
from services.common.server import serve
from services.events.database.migrate import prepare_database
from services.events.settings import read_mqtt_settings
from services.live.app import create_app

# Events are answered first.
NICENESS = 5


def run(settings: Settings) -> None:
    """Computes live rows until the process is told to stop.

    Raises `PolluxError` for settings of the broker that cannot be, a port in use, a database that
    cannot be reached at the start, and a schema that is newer than the program.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    mqtt = read_mqtt_settings()
    os.nice(NICENESS)
    serving_store = open_serving_store(settings)
    with serving_store.connect() as connection:
        prepare_database(connection, serving_store)
    topic = None if mqtt.testing_no_mqtt else mqtt.segment_changed_topic_name
    app = create_app(settings, serving_store, LiveModels, segment_topic=topic)
    with bind(settings.api_host, settings.live_port, setting="POLLUX_LIVE_PORT") as listening:
        serve(app, listening)
    for failure in app.state.failures:
        raise RuntimeError("The updater of live rows ended unexpectedly.") from failure
