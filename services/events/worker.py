"""One worker: its parts put together, and the tasks that it runs."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, get_args
from zoneinfo import ZoneInfo

from paho.mqtt.enums import MQTTProtocolVersion

from pollux.runtime.live import CHANNEL
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.database import Database, DatabaseUnavailableError, Refusal
from services.common.live_customers import LiveCustomers
from services.common.metrics import Metrics
from services.common.releases import Release, ReleaseWatcher
from services.events.broker.clients import SERVICE, login_of
from services.events.broker.connection import (
    V5,
    BrokerConnection,
    BrokerRefusesError,
    Login,
    Message,
)
from services.events.broker.publisher import Publisher
from services.events.broker.session import BrokerSession, Topics
from services.events.coupons.answers import Answers, read_answer_form
from services.events.coupons.handler import CouponHandler
from services.events.coupons.instant import STORE, InstantOffers
from services.events.coupons.offers import Offers
from services.events.coupons.scorer_client import ScorerClient, ScorerUnavailableError
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import read_replays
from services.events.database.retention import Retention
from services.events.leader import Leadership
from services.events.loyalty.handler import LoyaltyHandler
from services.events.metrics import EventMetrics
from services.events.ordered import OrderedHandler
from services.events.purchases.handler import PurchaseHandler
from services.events.purchases.lately import PurchasesLately
from services.events.release_topics import ReleaseTopics
from services.events.release_webhooks import ReleaseWebhooks
from services.events.settings import CouponKind, Kind, LoyaltyKind, MqttSettings, OrderedKind
from services.events.takeover import Takeover

LOYALTY = "loyalty"
COUPON_KINDS: tuple[CouponKind, ...] = get_args(CouponKind)
LOYALTY_KINDS: tuple[LoyaltyKind, ...] = get_args(LoyaltyKind)
LOOK_SECONDS = 1.0

IDENTITY = "select id from events.identity"

K = TypeVar("K", bound=Kind)
OrderedHandlers = Mapping[OrderedKind, OrderedHandler[Any]]

log = logging.getLogger("pollux.events")


class Worker:
    """Takes events from the broker, decides them and sends answers while `run` runs."""

    def __init__(
        self, settings: Settings, mqtt: MqttSettings, serving_store: ServingStore, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._mqtt = mqtt
        self._metrics = metrics
        self._event_metrics = EventMetrics(metrics.registry)
        self._leadership = Leadership(serving_store)
        self._scorer = ScorerClient(settings)
        self._database = Database(serving_store)
        # Commits have a connection of their own: nothing else may hold them up.
        self._commits = DatabaseWriter(serving_store, durable=False)
        self._flushes = DatabaseWriter(serving_store, durable=True)
        self._loyalty_commits = DatabaseWriter(serving_store, durable=True)
        self._purchase_commits = DatabaseWriter(serving_store, durable=True)
        self.writer = DatabaseWriter(serving_store, durable=False)
        # Of who only looks; connects where somebody does.
        self.looks = DatabaseWriter(serving_store, durable=False)
        self.purchases_lately = PurchasesLately(self.looks)
        self._zone = ZoneInfo(settings.store_timezone)
        self._cooldown = timedelta(minutes=settings.coupon_cooldown_minutes)
        self._retention = Retention(serving_store, settings)
        self._look_again = asyncio.Event()
        self._watcher = ReleaseWatcher(
            self._database,
            edition="events",
            on_change=self._use_releases,
            channels={CHANNEL: self._look_again.set},
        )
        self._live = LiveCustomers(self._database, self._watcher, self._look_again, [STORE])
        self.offers = Offers(
            self._database,
            self.writer,
            self._scorer,
            threshold=settings.coupon_threshold,
            live=self._live,
        )
        self._release_topics = ReleaseTopics(self._database, mqtt.release_topic_name)
        self._webhooks = ReleaseWebhooks(serving_store, settings)
        self._are_releases_known = asyncio.Event()
        self.is_scorer_up = False
        self._has_begun = asyncio.Event()
        self._coupon_session: BrokerSession | None = None
        # The session of the ordered topics, while this worker is the leader.
        self._ordered_session: BrokerSession | None = None
        self.coupons: CouponHandler | None = None
        self._instant: InstantOffers | None = None
        self._purchases: PurchaseHandler | None = None

    @property
    def number(self) -> int:
        """The worker's number, from 1; 0 before it has one."""
        return self._leadership.number

    @property
    def is_database_up(self) -> bool:
        """Whether the database answered within the last second."""
        return self._watcher.is_fresh()

    @property
    def database_problem(self) -> str | None:
        """Why the database cannot be used; None if it can."""
        has_begun = self._has_begun.is_set() and self._live.has_tried.is_set()
        if has_begun and self.is_database_up:
            return None
        refusal = self._watcher.refusal
        if refusal is None:
            return "The database cannot be reached"
        return f"{refusal.what}, which does not pass by itself"

    @property
    def database_refusal(self) -> Refusal | None:
        """Why the database refuses the service for good; None if it does not."""
        return self._watcher.refusal

    @property
    def broker_problem(self) -> str | None:
        """Why events cannot arrive; None if they can, or if no broker is used."""
        if self._mqtt.testing_no_mqtt:
            return None
        sessions = [self._coupon_session]
        if self._leadership.is_leader.is_set():
            sessions.append(self._ordered_session)
        for session in sessions:
            if session is None:
                return "not tried yet"
            if not session.is_up:
                return session.problem
        return None

    async def offers_at_once(self) -> InstantOffers:
        """What decides for whoever asks: waits until the worker has begun."""
        await self._has_begun.wait()
        assert self._instant is not None  # noqa: S101 - made before
        return self._instant

    async def purchases_at_once(self) -> PurchaseHandler:
        """What takes the purchases of whoever asks: waits until the worker has begun."""
        await self._has_begun.wait()
        assert self._purchases is not None  # noqa: S101 - made before
        return self._purchases

    async def run(self) -> None:
        """Works until cancelled; raises a `PolluxError` for what only people can fix."""
        try:
            await self._run()
        finally:
            self._has_begun.clear()
            self._webhooks.close()
            self._leadership.close()
            for writer in (
                self.writer,
                self._commits,
                self._flushes,
                self._loyalty_commits,
                self._purchase_commits,
                self.looks,
            ):
                writer.close()
            self._retention.close()
            self._watcher.close()
            self._database.close()
            await self._scorer.close()

    async def _run(self) -> None:
        number = await self._leadership.take_number()
        identity = await self.writer.retry(lambda connection: connection.fetchval(IDENTITY))
        name = f"pollux{identity.hex[:8]}"
        worker = _coupon_client(name, number)
        publisher = Publisher(self.writer, worker)
        coupons = self.coupons = self._make_coupon_handler(publisher, worker)
        self._instant = InstantOffers(
            offers=self.offers,
            handler=coupons,
            writer=self.writer,
            zone=self._zone,
            topic=self._mqtt.focus_event_topic_name,
            cooldown=self._cooldown,
        )
        purchases = self._purchases = PurchaseHandler(
            writer=self._purchase_commits,
            metrics=self._event_metrics,
            worker=worker,
            zone=self._zone,
            topic=self._mqtt.purchase_topic_name,
        )
        loyalty = self._make_loyalty_handler(publisher, worker)
        ordered: OrderedHandlers = {
            **dict.fromkeys(LOYALTY_KINDS, loyalty),
            "purchase": purchases,
        }
        self._event_metrics.show(
            "pollux_events_lag_seconds",
            "Age of the oldest event in hand.",
            lambda: max(one.oldest_seconds() for one in (coupons, loyalty, purchases)),
        )
        self._event_metrics.show(
            "pollux_events_outbox", "Answers that are not published.", lambda: publisher.depth
        )
        self._has_begun.set()
        self._webhooks.start()
        async with asyncio.TaskGroup() as tasks:
            for work in (
                self._use_first_releases,
                self._watcher.follow,
                self._live.follow,
                self._drop_outdated_offers,
                self._follow_model,
                self._retention.run,
                coupons.run,
                coupons.confirm,
                purchases.run,
            ):
                tasks.create_task(work())
            if not self._mqtt.testing_no_mqtt:
                session = self._make_coupon_session(name, number, coupons, publisher)
                self._coupon_session = session
                for work in (
                    self._leadership.keep,
                    session.run,
                    loyalty.run,
                    self._release_topics.run,
                    publisher.mark,
                    publisher.sweep,
                    self._make_takeover(name, coupons).run,
                ):
                    tasks.create_task(work())
                tasks.create_task(self._lead(name, ordered))
                tasks.create_task(self._replay(coupons, ordered))

    def _make_coupon_handler(self, publisher: Publisher, worker: str) -> CouponHandler:
        form = read_answer_form(self._settings, self._mqtt)
        return CouponHandler(
            offers=self.offers,
            commits_to=self._commits,
            flushes=self._flushes,
            publisher=publisher,
            metrics=self._event_metrics,
            worker=worker,
            zone=self._zone,
            answers=Answers(form, self._event_metrics.response_topics_refused),
            cooldown=self._cooldown,
        )

    def _make_loyalty_handler(self, publisher: Publisher, worker: str) -> LoyaltyHandler:
        return LoyaltyHandler(
            database=self._database,
            release=self._loyalty_release,
            writer=self._loyalty_commits,
            publisher=publisher,
            metrics=self._event_metrics,
            worker=worker,
            code_topic=self._mqtt.promo_code_topic_name,
            line_topic=self._mqtt.promo_code_line_topic_name,
        )

    def _make_coupon_session(
        self, name: str, number: int, coupons: CouponHandler, publisher: Publisher
    ) -> BrokerSession:
        kinds = self._coupon_topics()
        alone, shared = _alone_and_shared(name, kinds)

        def topics(protocol: MQTTProtocolVersion) -> Topics:
            if protocol == V5:
                is_alone = self._leadership.is_alone
                return Topics(alone, shared) if is_alone else Topics(shared, alone)
            if number > 1:
                raise BrokerRefusesError(
                    "With MQTT 3.1.1 only one worker can run, and another runs already. MQTT 5 "
                    "lets several share the work."
                )
            return Topics(alone)

        return BrokerSession(
            self._login(_coupon_client(name, number)),
            self._brokers(),
            self._mqtt.mqtt_protocol,
            topics=topics,
            on_message=partial(_hand_over, kinds, coupons.handle),
            on_published=publisher.on_acknowledged,
            on_change=publisher.use_connection,
        )

    def _make_takeover(self, name: str, coupons: CouponHandler) -> Takeover:
        kinds = self._coupon_topics()
        alone, shared = _alone_and_shared(name, kinds)
        return Takeover(
            leadership=self._leadership,
            writer=self.writer,
            brokers=self._brokers(),
            login=lambda number: self._login(_coupon_client(name, number)),
            topics=[*alone, *shared],
            on_message=partial(_hand_over, kinds, coupons.handle),
            patience=self._settings.events_takeover_seconds,
        )

    async def _lead(self, name: str, ordered: OrderedHandlers) -> None:
        """Holds the one session of the ordered topics while this worker is the leader."""
        topics = self._mqtt.topics()
        kinds = {topics[kind]: kind for kind in ordered}

        def handle(kind: OrderedKind, message: Message) -> None:
            ordered[kind].handle(kind, message)

        while True:
            await self._leadership.is_leader.wait()
            session = self._ordered_session = BrokerSession(
                self._login(_ordered_client(name)),
                self._brokers(),
                self._mqtt.mqtt_protocol,
                topics=lambda _protocol: Topics(list(kinds)),
                on_message=partial(_hand_over, kinds, handle),
                on_published=self._release_topics.on_acknowledged,
                on_change=partial(self._use_leading_connection, ordered),
            )
            running = asyncio.create_task(session.run())
            try:
                while self._leadership.is_leader.is_set() and not running.done():
                    await asyncio.wait({running}, timeout=LOOK_SECONDS)
            finally:
                self._ordered_session = None
                running.cancel()
                results = await asyncio.gather(running, return_exceptions=True)
            if isinstance(results[0], Exception):
                raise results[0]

    def _use_leading_connection(
        self, ordered: OrderedHandlers, connection: BrokerConnection | None
    ) -> None:
        self._release_topics.use_connection(connection)
        if connection is None:
            for handler in ordered.values():
                handler.drop()

    def _coupon_topics(self) -> Mapping[str, CouponKind]:
        topics = self._mqtt.topics()
        return {topics[kind]: kind for kind in COUPON_KINDS}

    def _login(self, client_id: str) -> Login:
        return login_of(self._settings, self._mqtt, SERVICE, client_id)

    def _brokers(self) -> Sequence[tuple[str, int]]:
        return self._mqtt.brokers(self._settings.broker_port)

    async def _use_first_releases(self) -> None:
        """Finds out what is released, if anything: events wait for this, not for a release."""
        while True:
            try:
                self._use_releases(await self._watcher.all_current())
            except DatabaseUnavailableError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    async def _loyalty_release(self) -> Release | None:
        await self._are_releases_known.wait()
        return self._watcher.known(LOYALTY)

    def _use_releases(self, releases: Mapping[str, Release]) -> None:
        self._are_releases_known.set()
        self._metrics.know_releases(releases)
        self._look_again.set()
        self.offers.use_release(releases.get(STORE))
        self._release_topics.notice_releases()
        self._webhooks.notice_releases()

    async def _drop_outdated_offers(self) -> None:
        while True:
            await self.offers.are_dropped.wait()
            self.offers.are_dropped.clear()
            await self.offers.drop_outdated()

    async def _follow_model(self) -> None:
        while True:
            try:
                self.offers.use_model(await self._scorer.look())
                self.is_scorer_up = True
            except ScorerUnavailableError:
                self.is_scorer_up = False
            await asyncio.sleep(LOOK_SECONDS)

    async def _replay(self, coupons: CouponHandler, ordered: OrderedHandlers) -> None:
        """Replays the dead letters that an operator asked for."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            replays: dict[str, Callable[..., None]] = dict.fromkeys(COUPON_KINDS, coupons.replay)
            if self._leadership.is_leader.is_set():
                replays |= {kind: handler.replay for kind, handler in ordered.items()}
            for one in await self.writer.retry(partial(read_replays, kinds=[*replays])):
                replays[one.kind](one.event_key, one.kind, one.topic, one.payload)


def _coupon_client(name: str, number: int) -> str:
    # Brokers have kept sessions under these names since the first version.
    return f"{name}shop{number}"


def _ordered_client(name: str) -> str:
    return f"{name}club"


def _alone_and_shared(name: str, topics: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What a lone worker subscribes to, and what one that shares with others does.

    When Mosquitto 2.0 restarts, it forgets shared subscriptions, and with them what is sent until
    they are made again; it keeps those of a lone worker.
    """
    alone = list(topics)
    return alone, [f"$share/{name}/{topic}" for topic in alone]


def _hand_over(
    kinds: Mapping[str, K], handle: Callable[[K, Message], None], message: Message
) -> None:
    kind = kinds.get(message.topic)
    if kind is None:
        # The session still has topics of earlier settings.
        log.warning("A message on a topic that the service does not know was skipped")
        message.receipt.acknowledge()
    else:
        handle(kind, message)
