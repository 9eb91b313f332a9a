"""A session stays subscribed whatever the broker forgets, and says why nothing can arrive."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from services.events.broker import session as module
from services.events.broker.connection import (
    SESSION_TAKEN_OVER,
    BrokerRefusesError,
    Login,
    Message,
)
from services.events.broker.session import BrokerSession, Topics
from tests.services.events.broker.fake_broker import FakeBroker
from tests.services.events.doubles import run, until

PROOF = "pollux/proof/me"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(module, "PROOF_SECONDS", 0.2)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)


class Desk:
    """A session at fake brokers, what it received, and the changes that it told of."""

    def __init__(self, *ports: int, topics: Callable[[], Topics] | None = None) -> None:
        self.received: list[Message] = []
        self.changes: list[bool] = []
        self.session = BrokerSession(
            Login("me"),
            [("127.0.0.1", port) for port in ports],
            "5",
            topics=lambda _protocol: topics() if topics else Topics(["events"]),
            on_message=self.received.append,
            on_change=lambda connection: self.changes.append(connection is not None),
        )


def at_broker(
    work: Callable[[FakeBroker, Desk], Coroutine[Any, Any, None]],
    *,
    prepare: Callable[[FakeBroker], None] = lambda _broker: None,
) -> None:
    """Runs a test beside a session that keeps running."""

    async def both() -> None:
        async with FakeBroker().running() as broker:
            prepare(broker)
            desk = Desk(broker.port)
            running = asyncio.create_task(desk.session.run())
            try:
                await work(broker, desk)
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

    run(both)


def test_messages_are_handed_over_but_for_its_own() -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        assert broker.subscribed[0] == "events"
        broker.send("events", b"1")
        await until(lambda: desk.received)
        assert [(one.topic, one.payload) for one in desk.received] == [("events", b"1")]
        # Quiet again, it proves itself once more, and nobody is told.
        proofs = broker.published.count(PROOF)
        await until(lambda: broker.published.count(PROOF) > proofs)
        assert len(desk.received) == 1
        assert desk.session.is_up

    at_broker(work)


def test_a_broker_that_delivers_nothing_any_more_is_connected_to_again() -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        broker.echoes = False
        await until(lambda: not desk.session.is_up)
        await until(lambda: broker.connections > 2)
        # It connects, and is not ready before something arrives.
        assert not desk.session.is_up
        assert "it delivers nothing to me, although it is subscribed" in desk.session.problem
        broker.echoes = True
        await until(lambda: desk.session.is_up)
        assert desk.changes[:3] == [True, False, True]

    at_broker(work)


def test_any_message_proves_that_messages_come(monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a busy machine keeps a test waiting, and shorter than what follows.
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.5)

    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        broker.echoes = False
        proofs = len(broker.published)
        for _ in range(120):
            broker.send("events", b"x")
            await asyncio.sleep(0.01)
        assert len(broker.published) == proofs
        assert broker.connections == 1

    at_broker(work)


def test_who_may_not_write_to_itself_is_subscribed_again_instead(caplog) -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        count = broker.subscribed.count("events")
        await until(lambda: broker.subscribed.count("events") > count + 2)
        assert broker.connections == 1
        assert desk.session.is_up
        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        text = (
            f"The broker does not let me write and read {PROOF}: it cannot be seen whether events "
            "arrive, only whether they are subscribed to"
        )
        assert warnings == [text]

    def prepare(broker: FakeBroker) -> None:
        broker.echoes = False

    at_broker(work, prepare=prepare)


def test_a_refused_proof_topic_is_no_refusal() -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        assert PROOF not in broker.published

    def prepare(broker: FakeBroker) -> None:
        broker.refused = ("pollux/proof",)

    at_broker(work, prepare=prepare)


def test_a_broker_that_closes_over_the_proof_is_not_asked_for_ever() -> None:
    """Some end the connection over what a client may not publish."""

    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        assert broker.published == [PROOF] * module.MAX_LOST
        connections = broker.connections
        count = broker.subscribed.count("events")
        await until(lambda: broker.subscribed.count("events") > count + 2)
        assert broker.connections == connections

    def prepare(broker: FakeBroker) -> None:
        broker.closes_on_publish = True

    at_broker(work, prepare=prepare)


def test_a_topic_that_is_refused_ends_it_with_a_reason() -> None:
    async def work() -> None:
        async with FakeBroker().running() as broker:
            broker.refused = ("events",)
            desk = Desk(broker.port)
            with pytest.raises(BrokerRefusesError) as caught:
                await desk.session.run()
            assert str(caught.value) == (
                "The broker refuses to let me subscribe to events (Not authorized): its access "
                "control must allow it."
            )
            assert caught.value.exit_code == 3
            assert desk.changes[-1] is False

    run(work)


def test_a_lower_quality_of_service_is_told(caplog) -> None:
    async def work(_broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        text = "The broker grants no more than QoS 0 on events: what comes while the service is "
        assert f"{text}away is lost" in caplog.messages

    def prepare(broker: FakeBroker) -> None:
        broker.granted = 0

    at_broker(work, prepare=prepare)


def test_a_topic_that_is_refused_later_ends_it_too() -> None:
    async def work() -> None:
        async with FakeBroker().running() as broker:
            broker.echoes = False
            desk = Desk(broker.port)
            running = asyncio.create_task(desk.session.run())
            await until(lambda: desk.session.is_up)
            broker.refused = ("events",)
            with pytest.raises(BrokerRefusesError, match="subscribe to events"):
                await running

    run(work)


def test_a_broker_that_is_restarted_is_subscribed_to_again() -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        broker.subscribed.clear()
        broker.drop()
        await until(lambda: not desk.session.is_up)
        await until(lambda: desk.session.is_up)
        assert "events" in broker.subscribed
        assert broker.connections == 2

    at_broker(work)


def test_another_client_with_its_id_is_named(caplog) -> None:
    async def work(broker: FakeBroker, desk: Desk) -> None:
        await until(lambda: desk.session.is_up)
        broker.drop(SESSION_TAKEN_OVER)
        await until(lambda: not desk.session.is_up)
        await until(lambda: desk.session.is_up)
        text = "the connection was lost: another client connected under the id me"
        assert f"me lost its broker: {text}" in caplog.messages

    at_broker(work)


def test_topics_that_change_are_subscribed_to_before_the_old_ones_are_left() -> None:
    async def work() -> None:
        async with FakeBroker().running() as broker:
            wanted = [Topics(["plain"], ["shared"])]
            desk = Desk(broker.port, topics=lambda: wanted[0])
            running = asyncio.create_task(desk.session.run())
            await until(lambda: desk.session.is_up)
            assert broker.unsubscribed == ["shared"]
            wanted[0] = Topics(["shared"], ["plain"])
            await until(lambda: "plain" in broker.unsubscribed)
            assert "shared" in broker.subscribed
            assert broker.connections == 1
            running.cancel()

    run(work)


def test_the_next_broker_is_tried_where_one_does_not_answer() -> None:
    async def work() -> None:
        async with FakeBroker().running() as good:
            desk = Desk(1, good.port)
            running = asyncio.create_task(desk.session.run())
            await until(lambda: desk.session.is_up)
            assert good.connections == 1
            running.cancel()

    run(work)
