"""The scorer as an app: its parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from pollux.propensity import models_dir
from pollux.runtime.settings import Settings
from services.common.api_keys import ApiKeys, check_address
from services.common.app import make_app
from services.common.health import TAG
from services.common.metrics import Metrics
from services.scoring.models import CurrentModel
from services.scoring.routes import ROUTERS

DESCRIPTION = """
How likely a customer is to use a coupon, by the coupon-propensity model that was promoted last.

Every answer names its model (`X-Pollux-Model`). Every error is a problem document (RFC 9457).
"""
TAGS = [
    {"name": "scoring", "description": "Predictions, and the model that makes them."},
    TAG,
]


def create_app(settings: Settings) -> FastAPI:
    """The scorer of an installation; while there is no model, it runs and answers 503.

    Raises `ApiKeysError` if the settings would leave it open to other machines, `KeysFileError` if
    its keys cannot be read.
    """
    check_address(settings, settings.api_host, "POLLUX_API_HOST")
    metrics = Metrics()
    keys = ApiKeys(settings, metrics.refuse_key, takes_scoring_key=True)
    model = CurrentModel(models_dir(settings), metrics)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(model.look)
        following = asyncio.create_task(model.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    app = make_app(
        settings,
        name="scoring",
        title="Pollux coupon scorer",
        description=DESCRIPTION,
        tags=TAGS,
        lifespan=lifespan,
        metrics=metrics,
        keys=keys,
        routers=ROUTERS,
    )
    app.state.model = model
    return app
