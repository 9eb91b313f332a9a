"""The scorer as an app: its parts put together.

Belongs here: which parts there are. Does not belong here: addresses and processes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from pollux.propensity import models_dir
from pollux.runtime.settings import Settings
from services.common.keys import RequireKey, read_key_hashes
from services.common.metrics import Metrics, Observe
from services.common.openapi import DocumentedApi
from services.common.problems import add_problem_handlers
from services.scoring.models import CurrentModel
from services.scoring.routes import ROUTERS

DESCRIPTION = """
How likely a customer uses a coupon, by the coupon-propensity model that was promoted last.

Every answer names its model (`X-Pollux-Model`). Every error is a problem document (RFC 9457).
"""
TAGS = [
    {"name": "scoring", "description": "Predictions, and the model that makes them."},
    {"name": "service", "description": "The service itself; answered without a key."},
]


def create_app(settings: Settings) -> FastAPI:
    """The scorer of an installation; it starts, and answers 503, while there is no model.

    Raises `ApiKeysError` where the settings would leave it open to other machines.
    """
    hashes = read_key_hashes(settings)
    metrics = Metrics()
    model = CurrentModel(models_dir(settings), metrics)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(model.look)
        following = asyncio.create_task(model.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    app = DocumentedApi(
        title="Pollux coupon scorer",
        version=version("pollux"),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # The first meets a request first.
        middleware=[Middleware(Observe, metrics=metrics), Middleware(RequireKey, hashes=hashes)],
    )
    app.requires_key = bool(hashes)
    app.state.metrics = metrics
    app.state.model = model
    add_problem_handlers(app)
    for router in ROUTERS:
        app.router.routes += router.routes
    return app
