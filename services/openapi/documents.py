"""The OpenAPI document of each service, made without a database, a broker or a model."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from pollux.runtime.serving import find_serving_store
from pollux.runtime.settings import Settings
from services.api import app as api
from services.events import app as events
from services.events.settings import MqttSettings
from services.scoring import app as scoring

# Nothing is asked of it while documents are made.
DATABASE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")


@cache
def documents() -> Mapping[str, dict[str, Any]]:
    """The documents by service (api, scoring, events), as every installation gives them."""
    settings = Settings(database_url=DATABASE, root_path="", scoring_url=None)
    return {name: app.openapi() for name, app in apps(settings).items()}


def apps(settings: Settings) -> dict[str, FastAPI]:
    """The app of each service, not started."""
    mqtt, store = MqttSettings(testing_no_mqtt=True), find_serving_store(settings)
    return {
        "api": api.create_app(settings),
        "scoring": scoring.create_app(settings),
        "events": events.create_app(settings, mqtt, store),
    }
