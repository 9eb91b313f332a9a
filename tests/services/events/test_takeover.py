"""Takeover: which worker has been away long enough, and how its session is emptied and ended."""

import asyncio
from typing import Any, ClassVar

import pytest

from pollux.runtime.serving import ServingStore
from services.events import leader as leader_module
from services.events import takeover as module
from services.events.broker.connection import BrokerUnreachableError, Login, Message
from services.events.database.connection import DatabaseWriter
from services.events.leader import Leadership
from services.events.takeover import Takeover
from tests.services.events.doubles import connect, message, run, until, until_row

WORKERS = "select array_agg(number order by number) from events.workers"


class SessionDouble:
    """The session that a broker keeps for a worker; with messages until they are acknowledged."""

    made: ClassVar[list["SessionDouble"]] = []
    waiting: ClassVar[dict[str, list[bytes]]] = {}
    away: ClassVar[set[str]] = set()

    def __init__(self, login: Login, _protocol: object, *, on_message: Any) -> None:
        self.client_id = login.client_id
        self.calls: list[str] = []
        self.is_open = False
        self._on_message = on_message
        self._receipts: list[Any] = []
        SessionDouble.made.append(self)

    async def open(self, host: str, _port: int) -> None:
        if host in self.away:
            raise BrokerUnreachableError("it is away")
        self.calls.append(f"open {host}")
        self.is_open = True
        for payload in self.waiting.pop(host, []):
            one, receipt = message("focus", payload)
            self._receipts.append(receipt)
            self._on_message(one)

    async def unsubscribe(self, topics: list[str]) -> None:
        self.calls.append(f"unsubscribe {' '.join(topics)}")

    def keep_alive(self) -> None:
        pass

    @property
    def has_receipts(self) -> bool:
        return any(not receipt.count for receipt in self._receipts)

    def close(self, *, ends_session: bool = False) -> None:
        self.calls.append("end" if ends_session else "close")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BrokerConnection", SessionDouble)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(leader_module, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(SessionDouble, "made", [])
    monkeypatch.setattr(SessionDouble, "waiting", {})
    monkeypatch.setattr(SessionDouble, "away", set())


class Office:
    """A leader that takes over, and what it was handed."""

    def __init__(self, store: ServingStore, *hosts: str, patience: float = 0.0) -> None:
        self.handled: list[Message] = []
        self.leadership = Leadership(store)
        self.writer = DatabaseWriter(store, durable=False)
        self.takeover = Takeover(
            leadership=self.leadership,
            writer=self.writer,
            brokers=[(host, 1883) for host in hosts or ("broker",)],
            login=lambda number: Login(f"worker{number}"),
            topics=["focus", "$share/x/focus"],
            on_message=self.handled.append,
            patience=patience,
        )

    async def start(self) -> list[asyncio.Task[None]]:
        await self.leadership.take_number()
        return [asyncio.create_task(work()) for work in (self.leadership.keep, self.takeover.run)]

    def close(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        self.leadership.close()
        self.writer.close()


def test_who_is_away_is_emptied_and_then_ended(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        await connection.execute("insert into events.workers (number) values (2)")
        SessionDouble.waiting = {"broker": [b"one", b"two"]}
        office = Office(store)
        tasks = await office.start()
        await until(lambda: len(office.handled) == 2)
        (session,) = SessionDouble.made
        assert session.client_id == "worker2"
        # Nothing is ended while an event is in hand.
        office.handled[0].receipt.acknowledge()
        assert session.calls == ["open broker", "unsubscribe focus $share/x/focus"]
        assert await connection.fetchval(WORKERS) == [1, 2]
        office.handled[1].receipt.acknowledge()
        await until_row(connection, WORKERS, [1])
        assert session.calls[2:] == ["end"]
        assert [one.payload for one in office.handled] == [b"one", b"two"]
        office.close(tasks)
        await connection.close()

    run(work)


def test_who_is_there_or_was_lately_is_left_alone(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        office = Office(store, patience=3600)
        tasks = await office.start()
        present = Leadership(store)
        assert await present.take_number() == 2
        await connection.execute("insert into events.workers (number) values (3)")
        # It has looked at both when it has given the number of the absent one back.
        await until(lambda: 3 in office.takeover._away_since)
        assert SessionDouble.made == []
        assert await connection.fetchval(WORKERS) == [1, 2, 3]
        office.close(tasks)
        present.close()
        await connection.close()

    run(work)


def test_with_a_broker_away_the_others_are_emptied_and_it_is_tried_again(
    store: ServingStore,
) -> None:
    async def work() -> None:
        connection = await connect(store)
        await connection.execute("insert into events.workers (number) values (2)")
        SessionDouble.away = {"down"}
        office = Office(store, "down", "up")
        tasks = await office.start()
        await until(lambda: any("end" in one.calls for one in SessionDouble.made))
        # Not before every broker's session has ended.
        assert await connection.fetchval(WORKERS) == [1, 2]
        SessionDouble.away = set()
        await until_row(connection, WORKERS, [1])
        assert any(
            one.calls[:1] == ["open down"] and one.calls[-1] == "end" for one in SessionDouble.made
        )
        office.close(tasks)
        await connection.close()

    run(work)


def test_only_the_leader_takes_over(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        leader = Leadership(store)
        await leader.take_number()
        leading = asyncio.create_task(leader.keep())
        await leader.is_leader.wait()
        await connection.execute("insert into events.workers (number) values (3)")
        office = Office(store)
        tasks = await office.start()
        await until_row(connection, "select 1 from events.workers where number = 2")
        assert SessionDouble.made == []
        leading.cancel()
        leader.close()
        await until(lambda: SessionDouble.made)
        office.close(tasks)
        await connection.close()

    run(work)
