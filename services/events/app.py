"""The event service as an app: a worker, offers at once, and routes for operators."""

from fastapi import FastAPI

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.api_keys import ApiKeys, check_address
from services.common.app import make_app
from services.common.background import running_beside
from services.common.health import TAG
from services.common.metrics import Metrics
from services.events import health, mock_routes, offer_routes, purchase_routes, segment_routes
from services.events.settings import MqttSettings
from services.events.worker import Worker

DESCRIPTION = """
Takes entry and focus events, the loyalty list, conversions and purchases from an MQTT broker, and
answers with coupons and promo codes. Who asks here is told the offer for a customer at once;
purchases are taken here, too. The other routes are for operators; with `TESTING_NO_MQTT` the
service takes events here instead.
"""
TAGS = [
    offer_routes.TAG,
    purchase_routes.TAG,
    segment_routes.TAG,
    {"name": "mock events", "description": "Events without a broker (TESTING_NO_MQTT)."},
    TAG,
]


def create_app(settings: Settings, mqtt: MqttSettings, database: ServingStore) -> FastAPI:
    """The event service of an installation whose schema `events` is up to date.

    Raises `ApiKeysError` if the settings would leave it open to other machines, `KeysFileError` if
    its keys cannot be read. An error that ends the worker ends the server (`app.state.server`)
    and is kept in `app.state.failures`.
    """
    check_address(settings, settings.api_host, "POLLUX_API_HOST")
    metrics = Metrics()
    keys = ApiKeys(settings, metrics.refuse_key)
    worker = Worker(settings, mqtt, database, metrics)
    app = make_app(
        settings,
        name="events",
        title="Pollux event service",
        description=DESCRIPTION,
        tags=TAGS,
        lifespan=lambda app: running_beside(app, worker.run()),
        metrics=metrics,
        keys=keys,
        routers=[
            *offer_routes.ROUTERS,
            *purchase_routes.ROUTERS,
            segment_routes.router,
            *health.ROUTERS,
            *((mock_routes.router,) if mqtt.testing_no_mqtt else ()),
        ],
    )
    app.state.worker = worker
    app.state.failures = []
    return app
