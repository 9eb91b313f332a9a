"""One worker: its parts put together, and what runs beside the flow of events.

Belongs here: which parts there are and which tasks run. Does not belong here: what any does.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from paho.mqtt.enums import MQTTProtocolVersion

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.database import Database, StoreUnavailableError
from services.common.metrics import Metrics
from services.common.releases import Release, ReleaseWatcher
from services.events.broker.connection import (
    BrokerRefusesError,
    BrokerUnreachableError,
    Connection,
    Login,
    Message,
)
from services.events.broker.session import V5, Link
from services.events.coupons.handler import Shop, ShopKind
from services.events.coupons.offers import Contexts
from services.events.coupons.scorer_client import Scorer, ScorerUnavailableError
from services.events.database.connection import Ledger
from services.events.database.outbox import Outbox
from services.events.database.retention import Retention
from services.events.leader import Turns
from services.events.loyalty.handler import Club, ClubKind
from services.events.metrics import Counts
from services.events.settings import Kind, MqttSettings
from services.events.takeover import Leftovers

STORE, LOYALTY = "store", "loyalty"
SHOP_KINDS: tuple[ShopKind, ...] = ("entry", "focus")
CLUB_KINDS: tuple[ClubKind, ...] = ("loyalty", "conversion")
MODEL_SECONDS = 1.0
REPLAY_SECONDS = 1.0
COMPANY_SECONDS = 1.0
REPLAYS_AT_ONCE = 100

IDENTITY = "select id from events.identity"
REPLAYS = f"""
select event_key, kind, topic, payload
from events.dead_letter
where replay_requested_at is not null and resolved_at is null and is_whole and kind = any($1)
order by id
limit {REPLAYS_AT_ONCE}
"""

K = TypeVar("K", bound=Kind)

log = logging.getLogger("pollux.events")


class Worker:
    """Takes events from the broker, decides them, sends answers; `run` is its life."""

    def __init__(
        self, settings: Settings, mqtt: MqttSettings, store: ServingStore, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._mqtt = mqtt
        self._metrics = metrics
        self.counts = Counts(metrics.registry)
        self.turns = Turns(store)
        self.scorer = Scorer(settings)
        self.is_scorer_up = False
        self.is_started = False
        self.shop_link: Link | None = None
        # That of the ordered topics, while it is this worker's turn.
        self.club_link: Link | None = None
        self._database = Database(store)
        # Commits have a connection of their own: nothing else may hold them up.
        self._commits = Ledger(store, durable=False)
        self._flushes = Ledger(store, durable=True)
        self._club_commits = Ledger(store, durable=True)
        self.ledger = Ledger(store, durable=False)
        self._retention = Retention(store, timedelta(days=settings.events_retention_days))
        self.contexts = Contexts(
            self._database, self.ledger, self.scorer, threshold=settings.coupon_threshold
        )
        self._watcher = ReleaseWatcher(
            self._database, edition="events", on_change=self._know_releases
        )
        self.shop: Shop | None = None
        self.outbox: Outbox | None = None

    @property
    def uses_mqtt(self) -> bool:
        """Whether events come from a broker, not over HTTP."""
        return not self._mqtt.testing_no_mqtt

    @property
    def is_database_up(self) -> bool:
        """Whether the database answered within the last second."""
        return self._watcher.is_fresh()

    async def run(self) -> None:
        """Works until cancelled; raises a `PolluxError` for what only people can mend."""
        try:
            await self._run()
        finally:
            self.is_started = False
            self.turns.close()
            for ledger in (self.ledger, self._commits, self._flushes, self._club_commits):
                ledger.close()
            self._retention.close()
            self._watcher.close()
            self._database.close()
            await self.scorer.close()

    async def _run(self) -> None:
        number = await self.turns.take_number()
        identity = await self.ledger.do(lambda connection: connection.fetchval(IDENTITY))
        # Before that it would look as if nothing were released.
        await self._know_first_release()
        await self._look_for_model()
        name = f"pollux{identity.hex[:8]}"
        worker = f"{name}shop{number}"
        self.outbox = outbox = Outbox(self.ledger, worker)
        self.shop = shop = Shop(
            contexts=self.contexts,
            commits_to=self._commits,
            flushes=self._flushes,
            outbox=outbox,
            counts=self.counts,
            worker=worker,
            zone=ZoneInfo(self._settings.store_timezone),
            answer_topic=self._mqtt.coupon_prediction_topic_name if self.uses_mqtt else None,
        )
        club = self._make_club(outbox, worker)
        self.counts.show(
            "pollux_events_lag_seconds",
            "Age of the oldest event in hand.",
            lambda: max(shop.oldest_seconds(), club.oldest_seconds()),
        )
        self.counts.show(
            "pollux_events_outbox", "Answers that are not published.", lambda: outbox.depth
        )
        self.is_started = True
        async with asyncio.TaskGroup() as tasks:
            for work in (
                self._watcher.follow,
                self._drop_contexts,
                self._follow_model,
                self._retention.run,
                shop.run,
                shop.confirm,
            ):
                tasks.create_task(work())
            if self.uses_mqtt:
                self.shop_link = self._link_of_shop(name, number, shop, outbox)
                for more in (
                    self.turns.keep,
                    self.shop_link.run,
                    club.run,
                    outbox.mark,
                    outbox.sweep,
                ):
                    tasks.create_task(more())
                tasks.create_task(self._link_club(name, club))
                tasks.create_task(self._replay(shop, club))
                leftovers = self._make_leftovers(name, shop)
                tasks.create_task(leftovers.run())
                tasks.create_task(self._follow_company(self.shop_link, name))

    def _shop_kinds(self) -> Mapping[str, ShopKind]:
        topics = self._mqtt.topics()
        return {topics[kind]: kind for kind in SHOP_KINDS}

    def _make_leftovers(self, name: str, shop: Shop) -> Leftovers:
        kinds = self._shop_kinds()
        return Leftovers(
            turns=self.turns,
            ledger=self.ledger,
            brokers=self._brokers(),
            login=lambda number: self._login(f"{name}shop{number}"),
            topics=[topic for way in _ways(name, kinds).values() for topic in way],
            on_message=partial(_hand_over, kinds, shop.take),
            patience=self._settings.events_takeover_seconds,
        )

    def _link_of_shop(self, name: str, number: int, shop: Shop, outbox: Outbox) -> Link:
        kinds = self._shop_kinds()

        def subscriptions(protocol: MQTTProtocolVersion) -> Sequence[str]:
            if protocol == V5:
                return _ways(name, kinds)[self.turns.is_alone]
            if number > 1:
                raise BrokerRefusesError(
                    "The broker is spoken to in MQTT 3.1.1, where one worker runs; another does "
                    "already. MQTT 5 lets several share the work."
                )
            return list(kinds)

        return Link(
            self._login(f"{name}shop{number}"),
            self._brokers(),
            self._mqtt.mqtt_protocol,
            topics=subscriptions,
            on_message=partial(_hand_over, kinds, shop.take),
            on_published=outbox.acknowledged,
            on_change=outbox.use,
        )

    async def _follow_company(self, link: Link, name: str) -> None:
        """Subscribes the other way when others come or go: first the new way, then not the old."""
        ways = _ways(name, self._shop_kinds())
        last: tuple[Connection | None, bool] | None = None
        while True:
            await asyncio.sleep(COMPANY_SECONDS)
            connection, is_alone = link.connection, self.turns.is_alone
            if connection is None or not connection.is_open or connection.protocol != V5:
                continue
            if last == (connection, is_alone):
                continue
            try:
                await connection.subscribe(ways[is_alone])
                await connection.unsubscribe(ways[not is_alone])
            except BrokerUnreachableError:
                continue
            log.info("%s", "All events come here" if is_alone else "Events are shared with others")
            last = (connection, is_alone)

    async def _link_club(self, name: str, club: Club) -> None:
        """Holds the ordered topics' one session while it is this worker's turn."""
        topics = self._mqtt.topics()
        kinds: Mapping[str, ClubKind] = {topics[kind]: kind for kind in CLUB_KINDS}
        while True:
            await self.turns.has_club.wait()
            link = self.club_link = Link(
                self._login(f"{name}club"),
                self._brokers(),
                self._mqtt.mqtt_protocol,
                topics=lambda _protocol: list(kinds),
                on_message=partial(_hand_over, kinds, club.take),
                on_change=lambda connection: None if connection else club.drop(),
            )
            linked = asyncio.create_task(link.run())
            try:
                while self.turns.has_club.is_set() and not linked.done():
                    await asyncio.wait({linked}, timeout=REPLAY_SECONDS)
            finally:
                self.club_link = None
                linked.cancel()
                results = await asyncio.gather(linked, return_exceptions=True)
            if isinstance(results[0], Exception):
                raise results[0]

    def _make_club(self, outbox: Outbox, worker: str) -> Club:
        return Club(
            database=self._database,
            release=lambda: self._watcher.known(LOYALTY),
            ledger=self._club_commits,
            outbox=outbox,
            counts=self.counts,
            worker=worker,
            code_topic=self._mqtt.promo_code_topic_name,
            line_topic=self._mqtt.promo_code_line_topic_name,
        )

    def _login(self, client_id: str) -> Login:
        password = self._mqtt.mqtt_password
        return Login(
            client_id=client_id,
            username=self._mqtt.mqtt_username,
            password=None if password is None else password.get_secret_value(),
            certificates=self._mqtt.mqtt_broker_cert_file,
        )

    def _brokers(self) -> Sequence[tuple[str, int]]:
        return self._mqtt.brokers(self._settings.broker_port)

    async def _know_first_release(self) -> None:
        while True:
            try:
                self._know_releases(await self._watcher.all_current())
            except StoreUnavailableError:
                await asyncio.sleep(MODEL_SECONDS)
            else:
                return

    def _know_releases(self, releases: Mapping[str, Release]) -> None:
        self._metrics.know_releases(releases)
        self.contexts.know_release(releases.get(STORE))

    async def _drop_contexts(self) -> None:
        while True:
            await self.contexts.are_dropped.wait()
            self.contexts.are_dropped.clear()
            await self.contexts.drop_outdated()

    async def _follow_model(self) -> None:
        while True:
            await asyncio.sleep(MODEL_SECONDS)
            await self._look_for_model()

    async def _look_for_model(self) -> None:
        try:
            self.contexts.know_model(await self.scorer.look())
            self.is_scorer_up = True
        except ScorerUnavailableError:
            self.is_scorer_up = False

    async def _replay(self, shop: Shop, club: Club) -> None:
        """Takes dead letters again that somebody asked for."""
        while True:
            await asyncio.sleep(REPLAY_SECONDS)
            kinds = [*SHOP_KINDS, *(CLUB_KINDS if self.turns.has_club.is_set() else ())]
            rows = await self.ledger.do(lambda connection: connection.fetch(REPLAYS, kinds))  # noqa: B023
            for key, kind, topic, payload in rows:
                if kind in SHOP_KINDS:
                    shop.replay(key, cast("ShopKind", kind), topic, payload)
                else:
                    club.replay(key, cast("ClubKind", kind), topic, payload)


def _ways(name: str, topics: Iterable[str]) -> Mapping[bool, Sequence[str]]:
    """What a worker subscribes to that is alone (True), and one that shares with others.

    Mosquitto 2.0 forgets shared subscriptions when it is restarted, and with them what is sent
    until they are made again; those of one that is alone it keeps.
    """
    plain = list(topics)
    return {True: plain, False: [f"$share/{name}/{topic}" for topic in plain]}


def _hand_over(
    kinds: Mapping[str, K], take: Callable[[K, Message], None], message: Message
) -> None:
    kind = kinds.get(message.topic)
    if kind is None:
        # The session remembers topics of other settings.
        log.warning("A message on a topic that is none of this service's was passed over")
        message.receipt.done()
    else:
        take(kind, message)
