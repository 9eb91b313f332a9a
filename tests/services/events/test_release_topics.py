"""What an application hears of releases over MQTT, and a receiver of webhooks from the service."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from orchestration.release import registry
from pollux.runtime import webhooks
from services.common.database import Database
from services.events import release_topics
from services.events.release_topics import ReleaseTopics
from tests.services.events import support as shops
from tests.services.events.conftest import Shop
from tests.services.events.doubles import run
from tests.services.events.support import Client, working
from tests.support.programs import SECONDS, wait_for
from tests.support.receivers import Receiver, receiving

RELEASES = "pollux/releases/#"


def hear(shop: Shop) -> Client:
    """A client that has just subscribed: it hears what is retained."""
    return Client(shop.port, [RELEASES], is_v5=shop.is_v5, prefix=shop.prefix)


def heard_of(client: Client, domain: str) -> list[dict[str, Any]]:
    return [one.document for one in client.on(f"pollux/releases/{domain}")]


def number_of(shop: Shop, domain: str) -> int | None:
    """The release that who subscribes now is told of."""
    client = hear(shop)
    try:
        found = wait_for(lambda: heard_of(client, domain))
        return int(found[-1]["number"])
    finally:
        client.close()


def switch(shop: Shop, domain: str, number: int) -> None:
    with shop.store.connect() as connection:
        registry.switch(connection, domain, number)


def release_members(shop: Shop, number: int) -> None:
    shops.release_members(shop.store, number)
    shop.execute(f"insert into release.row_counts values ('loyalty', {number}, 'members', 1)")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_topics, "LOOK_SECONDS", 0.2)


def test_the_retained_message_is_the_current_release(shop: Shop) -> None:
    with working(shop.settings, **shop.environment()):
        client = hear(shop)
        # A broker may send what is retained and what is new.
        first = wait_for(lambda: heard_of(client, "loyalty"))[0]
        assert wait_for(lambda: heard_of(client, "store"))
        release_members(shop, 2)
        (second,) = wait_for(lambda: [one for one in heard_of(client, "loyalty") if one["marts"]])
        assert second | {"released_at": "", "switched_at": ""} == {
            "domain": "loyalty", "number": 2, "released_at": "", "switched_at": "", "rows": 1,
            "marts": {"members": 1},
        }  # fmt: skip
        assert first["number"] == 1
        # A rollback.
        switch(shop, "loyalty", 1)
        wait_for(lambda: heard_of(client, "loyalty")[-1]["number"] == 1)
        client.close()
        assert number_of(shop, "loyalty") == 1
        assert number_of(shop, "store") == 1
    # The service is away; what is retained is made right when it comes back.
    switch(shop, "loyalty", 2)
    assert number_of(shop, "loyalty") == 1
    with working(shop.settings, **shop.environment()):
        wait_for(lambda: number_of(shop, "loyalty") == 2)


def test_a_switch_there_and_back_is_told_by_its_time(any_shop: Shop) -> None:
    with working(any_shop.settings, **any_shop.environment()):
        client = hear(any_shop)
        (first,) = wait_for(lambda: heard_of(client, "store"))
        # Nobody notifies, and the number is the same.
        any_shop.execute("update release.current set switched_at = now() where domain = 'store'")
        second = wait_for(lambda: heard_of(client, "store")[1:])[0]
        assert second["switched_at"] > first["switched_at"]
        assert second["number"] == first["number"]
        client.close()


def test_a_broker_that_forgot_is_told_again(new_shop: Shop, tmp_path: Path) -> None:
    with ExitStack() as brokers:
        brokers.enter_context(shops.broker(tmp_path / "first", new_shop.port))
        with working(new_shop.settings, **new_shop.environment()):
            assert number_of(new_shop, "store") == 1
            brokers.close()
            brokers.enter_context(shops.broker(tmp_path / "second", new_shop.port))
            assert number_of(new_shop, "store") == 1
            assert number_of(new_shop, "loyalty") == 1


class Broker:
    """A connection whose broker answers as a test says."""

    is_open = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, bool]] = []

    def publish(self, topic: str, *_: object, is_retained: bool = False) -> int:
        self.sent.append((topic, is_retained))
        return len(self.sent)


def test_a_broker_that_refuses_is_named_once(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        database = Database(store)
        topics = ReleaseTopics(database, "shop/releases")
        broker: Any = Broker()
        topics.use_connection(broker)
        await topics._publish_news()
        assert broker.sent == [("shop/releases/loyalty", True), ("shop/releases/store", True)]
        topics.on_acknowledged(1, False)
        topics.on_acknowledged(2, False)
        topics.on_acknowledged(99, False)
        # It stays refused until the connection, or the release, is another.
        await topics._publish_news()
        assert len(broker.sent) == 2
        database.close()

    run(work)
    assert [record.getMessage() for record in caplog.records] == [
        "The broker refuses messages on shop/releases/…: its access control must allow them"
    ]


def test_a_broker_that_hangs_up_over_it_keeps_its_connection(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        database = Database(store)
        topics = ReleaseTopics(database, "shop/releases")
        for is_published in (True, True, False):
            broker: Any = Broker()
            topics.use_connection(broker)
            await topics._publish_news()
            assert bool(broker.sent) == is_published
            topics.use_connection(None)
        database.close()

    run(work)
    assert "closes the connection over shop/releases/…, which is published no more" in caplog.text


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def test_the_service_tells_what_a_release_could_not(
    any_shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is told by the notification: by itself it would look too late.
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 10 * SECONDS)
    told = receiver.settings(any_shop.settings)

    def roll_back() -> None:
        """Switched by a process that was killed right afterwards."""
        with any_shop.store.connect() as connection:
            registry.switch(connection, "loyalty", 1)
            to = webhooks.read_webhooks(told)
            webhooks.enter_messages(connection, to, "loyalty", "release.rolled_back")

    release_members(any_shop, 2)
    roll_back()
    switch(any_shop, "loyalty", 2)
    environment = any_shop.environment(
        POLLUX_RELEASE_WEBHOOKS=receiver.url,
        POLLUX_RELEASE_WEBHOOK_SECRET=told.release_webhook_secret.get_secret_value(),
    )
    with working(any_shop.settings, **environment):
        assert receiver.wait(1)[0].document["data"]["number"] == 1
        roll_back()
        receiver.wait(2)
        assert any_shop.rows("select count(*) from release.webhook_messages") == [(2,)]
