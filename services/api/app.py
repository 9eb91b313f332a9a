"""The API as an app: its parts put together."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware import Middleware

from pollux.runtime.live import CHANNEL
from pollux.runtime.serving import find_serving_store
from pollux.runtime.settings import Settings
from services.api import (
    customer,
    health,
    household,
    loyalty,
    marts,
    operation,
    quality,
    store,
    subjects,
)
from services.api.customer.vouchers import read_ranked_vouchers
from services.api.listing import edition
from services.api.live import LiveDocuments
from services.common.answers import (
    Answers,
    AnswersFromMemory,
    AnswersInMemory,
    KeptPerRelease,
    Subject,
)
from services.common.api_keys import ApiKeys, check_address
from services.common.app import make_app
from services.common.compression import Compress
from services.common.database import Database
from services.common.health import TAG
from services.common.metrics import Metrics
from services.common.releases import Release, ReleaseWatcher

DESCRIPTION = """
Answers about a retailer's customers, from the last release that passed every test.

Every answer names its release (`X-Pollux-Release`) and carries its tag (`ETag`): send the tag back
as `If-None-Match`, and a 304 says that nothing changed. Lists come in pages: ask for the next one
with the `next` of the last. Every error is a problem document (RFC 9457).
"""
TAGS = [
    {"name": "households", "description": "Who they are, what they are worth, what they buy."},
    {"name": "campaigns", "description": "When they ran, whom they reached, what they sold."},
    {"name": "segments", "description": "Segments of households: sizes, moves, who is in them."},
    {"name": "commodities", "description": "What is bought together."},
    {"name": "vouchers", "description": "Which to offer whom, and why."},
    {"name": "accounts", "description": "A utility's customers and the services they have."},
    {"name": "coupons", "description": "What they require and give, when they are valid."},
    {"name": "products", "description": "What the shop sells."},
    {"name": "store customers", "description": "What they buy and how they use coupons."},
    {"name": "members", "description": "The fan club."},
    {"name": "promotions", "description": "Clicks, baskets and purchases that they led to."},
    {"name": "marts", "description": "Any released mart, your own included, by its contract."},
    TAG,
]
# Each has queries and routes of its own domain's marts.
PARTS = (household, customer, store, loyalty, marts)
OTHERS = (operation, subjects, quality, health)


def create_app(settings: Settings) -> FastAPI:
    """The API of an installation; while the database is down, it runs and answers 503.

    Raises `ApiKeysError` if the settings would leave it open to other machines, `KeysFileError` if
    its keys cannot be read.
    """
    check_address(settings, settings.api_host, "POLLUX_API_HOST")
    metrics = Metrics()
    keys = ApiKeys(settings, metrics.refuse_key)
    serving_store = find_serving_store(settings)
    database = Database(serving_store)

    def is_live(subject: Subject) -> bool:
        return customers.has(subject)

    def on_change(releases: Mapping[str, Release]) -> None:
        memory.keep_only(releases)
        look_again.set()
        metrics.know_releases(releases)

    memory = AnswersInMemory(limit=settings.api_cache_mb * 2**20, is_live=is_live)
    look_again = asyncio.Event()
    watcher = ReleaseWatcher(
        database,
        edition=edition(*(part.repository for part in PARTS)),
        on_change=on_change,
        channels={CHANNEL: look_again.set},
    )
    customers = LiveDocuments(database, watcher, look_again)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.gather(watcher.follow(), customers.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        watcher.close()
        database.close()

    routers = [router for part in PARTS for router in part.routes.ROUTERS]
    routers += [router for part in OTHERS for router in part.ROUTERS]
    app = make_app(
        settings,
        name="api",
        title="Pollux",
        description=DESCRIPTION,
        tags=TAGS,
        lifespan=lifespan,
        metrics=metrics,
        keys=keys,
        routers=routers,
        root_path=settings.root_path,
        middleware=[
            Middleware(Compress),
            Middleware(AnswersFromMemory, memory=memory, watcher=watcher),
        ],
    )
    answers = Answers(database, watcher, memory)
    app.state.answers = answers
    app.state.live = customers
    app.state.serving_store = serving_store
    app.state.marts = marts.repository.Marts()
    app.state.releases_dir = settings.releases_dir
    app.state.logs_dir = settings.logs_dir
    app.state.ranked_vouchers = KeptPerRelease(
        answers, customer.repository.DOMAIN, read_ranked_vouchers
    )
    return app
