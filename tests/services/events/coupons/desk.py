"""A coupon handler with a real database, a scorer whose predictions are known, and no broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from pollux.runtime.serving import ServingStore
from services.common.database import Database
from services.common.releases import Release
from services.events.broker.publisher import Publisher
from services.events.coupons.answers import AnswerForm, Answers
from services.events.coupons.handler import CouponHandler
from services.events.coupons.instant import InstantOffers
from services.events.coupons.offers import Offers
from services.events.coupons.scorer_client import (
    Explained,
    NoModelYetError,
    ScorerClient,
    ScorerUnavailableError,
)
from services.events.database.connection import DatabaseWriter
from services.events.metrics import EventMetrics
from services.events.settings import CouponKind
from tests.services.events.doubles import ConnectionDouble, ReceiptDouble, message, until
from tests.services.events.support import NOW, prediction

if TYPE_CHECKING:
    from services.common.live_customers import LiveCustomers

RELEASE = Release("store", 1, None, "test")
FORM = AnswerForm("offers")
FOCUS = "shop/focus"
ZONE = ZoneInfo("Europe/Berlin")


def focus(customer: object, department: str = "Boys", ts: int = NOW) -> bytes:
    """A focus event as a sensor sends it."""
    return json.dumps({"id": customer, "ts": ts, "dep": department}).encode()


class ScorerDouble:
    """Answers as the scorer of the worker's tests does, without HTTP."""

    def __init__(self) -> None:
        self.model: str | None = "m1"
        self.is_away = False
        self.is_silent = False
        self.asked: list[tuple[int, int]] = []
        self.customers: list[Mapping[str, Any]] = []

    async def score(
        self, customer: Mapping[str, Any], coupons: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[tuple[int, float]]]:
        self.asked.append((customer["customer_id"], len(coupons)))
        self.customers.append(customer)
        if self.is_away:
            raise ScorerUnavailableError("away")
        if self.model is None:
            raise NoModelYetError
        model, number = self.model, customer["customer_id"]
        found = [(one["coupon_id"], prediction(model, number, one["coupon_id"])) for one in coupons]
        return model, sorted(found, key=lambda one: -one[1])

    async def explain(self, customer: Mapping[str, Any], coupon: Mapping[str, Any]) -> Explained:
        model, ((number, likelihood),) = await self.score(customer, [coupon])
        return Explained(number, model, likelihood, {"base": -1.5, "contributions": []})


class Desk:
    """The parts; `send` hands a message over as a broker's connection does."""

    def __init__(
        self,
        store: ServingStore,
        *,
        worker: str = "w1",
        threshold: float = 0.2,
        form: AnswerForm = FORM,
        cooldown: timedelta = timedelta(0),
        live: object = None,
    ) -> None:
        self.scorer = ScorerDouble()
        self.database = Database(store)
        self.writers = [DatabaseWriter(store, durable=flag) for flag in (False, False, True)]
        self.writer, self.commits, self.flushes = self.writers
        self.offers = Offers(
            self.database,
            self.writer,
            cast("ScorerClient", self.scorer),
            threshold=threshold,
            live=cast("LiveCustomers | None", live),
        )
        self.broker = ConnectionDouble()
        self.publisher = Publisher(self.writer, worker)
        self.publisher.use_connection(self.broker.as_connection())
        self.registry = CollectorRegistry()
        metrics = EventMetrics(self.registry)
        self.handler = CouponHandler(
            offers=self.offers,
            commits_to=self.commits,
            flushes=self.flushes,
            publisher=self.publisher,
            metrics=metrics,
            worker=worker,
            zone=ZONE,
            answers=Answers(form, metrics.response_topics_refused),
            cooldown=cooldown,
        )
        self.instant = InstantOffers(
            offers=self.offers,
            handler=self.handler,
            writer=self.writer,
            zone=ZONE,
            topic=FOCUS,
            cooldown=cooldown,
        )

    def know(self, release: Release | None = RELEASE, model: str | None = "m1") -> "Desk":
        self.offers.use_release(release)
        self.offers.use_model(model)
        return self

    def send(
        self, kind: CouponKind, payload: bytes, event_id: str | None = None, **more: Any
    ) -> ReceiptDouble:
        one, receipt = message(f"shop/{kind}", payload, event_id, **more)
        self.handler.handle(kind, one)
        return receipt

    def crash_before_flush(
        self, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> asyncio.Event:
        """Makes the database lose what is committed first, once; returns what tells that it did."""
        flush, has_crashed = self.flushes.flush, asyncio.Event()

        async def crash() -> int:
            if self.handler.oldest_seconds() and not has_crashed.is_set():
                has_crashed.set()
                await connection.execute(
                    "truncate events.inbox, events.decisions, events.outbox; "
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'pollux-events' and datname = current_database()"
                )
            return await flush()

        monkeypatch.setattr(self.flushes, "flush", crash)
        return has_crashed

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Desk"]:
        tasks = [
            asyncio.create_task(self.handler.run()),
            asyncio.create_task(self.handler.confirm()),
        ]
        try:
            # What is committed before the first flush is committed once more.
            await until(lambda: self.flushes.connections)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.close()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
        self.database.close()
