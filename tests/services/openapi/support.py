"""The three services, running on a copy of the sample, as an installation with keys runs them."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr

from pollux.propensity import models_dir
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.api import app as api
from services.events import app as events
from services.events.database.migrate import prepare_database
from services.events.settings import MqttSettings
from services.scoring import app as scoring
from tests.services.api.support import client_of, wait_until
from tests.support.installations import Prepared

KEY = "5f" * 16
Urls = Mapping[str, str]


@contextmanager
def running_services(prepared: Prepared, model: Settings, folder: Path) -> Iterator[Urls]:
    """The services' URLs by name; every one requires `KEY`, and events come without a broker."""
    settings = prepared.copy(prepared.everything(), folder)
    shutil.copytree(models_dir(model), models_dir(settings), symlinks=True)
    store = open_serving_store(settings)
    assert store.embedded is not None
    with store.connect() as connection:
        prepare_database(connection, store)
    keyed = settings.model_copy(
        update={
            "api_keys": hashlib.sha256(KEY.encode()).hexdigest(),
            "scoring_key": SecretStr(KEY),
        }
    )
    urls: dict[str, str] = {}
    with ExitStack() as running:

        def start(name: str, app: FastAPI) -> None:
            client = running.enter_context(client_of(app))
            urls[name] = f"http://127.0.0.1:{client.base_url.port}"
            wait_until(lambda: client.get("/readyz").status_code == 200, seconds=60)

        try:
            start("api", api.create_app(keyed))
            start("scoring", scoring.create_app(keyed))
            here = keyed.model_copy(update={"scoring_url": urls["scoring"]})
            start("events", events.create_app(here, MqttSettings(testing_no_mqtt=True), store))
            yield urls
        finally:
            running.close()
            store.embedded.stop()
