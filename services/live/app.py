"""The updater as an app: computing live rows, and telling how it is."""

from fastapi import FastAPI

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.api_keys import ApiKeys, check_address
from services.common.app import make_app
from services.common.background import running_beside
from services.common.health import TAG
from services.common.metrics import Metrics
from services.live import health
from services.live.batches import OpenModels
from services.live.metrics import LiveMetrics
from services.live.updater import Updater

DESCRIPTION = """
Computes what customers just did into the rows that are answered live. It has nothing to ask but how
it is: the API answers.
"""


def create_app(
    settings: Settings,
    database: ServingStore,
    open_models: OpenModels,
    *,
    segment_topic: str | None = None,
) -> FastAPI:
    """The updater of an installation whose schema `events` is up to date.

    Changes of segments are told on `segment_topic`, where there is one.

    Raises `ApiKeysError` if the settings would leave it open to other machines, `KeysFileError` if
    its keys cannot be read. An error that ends the updater ends the server (`app.state.server`) and
    is kept in `app.state.failures`.
    """
    check_address(settings, settings.api_host, "POLLUX_API_HOST")
    metrics = Metrics()
    keys = ApiKeys(settings, metrics.refuse_key)
    updater = Updater(
        settings,
        database,
        LiveMetrics(metrics.registry),
        open_models,
        segment_topic=segment_topic,
    )
    app = make_app(
        settings,
        name="live",
        title="Pollux live rows",
        description=DESCRIPTION,
        tags=[TAG],
        lifespan=lambda app: running_beside(app, updater.run()),
        metrics=metrics,
        keys=keys,
        routers=health.ROUTERS,
    )
    app.state.updater = updater
    app.state.failures = []
    return app
