"""The loyalty handler, without a broker: order, members, codes, and rows that cannot be read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from pollux.runtime.serving import ServingStore
from services.common.database import Database, DatabaseUnavailableError
from services.common.releases import Release
from services.events import ordered
from services.events.broker.publisher import Publisher
from services.events.database.connection import DatabaseWriter
from services.events.loyalty import handler as module
from services.events.loyalty.handler import LoyaltyHandler
from services.events.metrics import EventMetrics
from services.events.settings import LoyaltyKind
from tests.services.events.doubles import (
    ConnectionDouble,
    ReceiptDouble,
    connect,
    keep_out,
    message,
    run,
    until,
    until_row,
)
from tests.services.events.support import MEMBERS

RELEASE = Release("loyalty", 1, None, "test")
CODES = "select promotion, email from events.promo_codes order by 1, 2"


class Desk:
    """The handler with a real database; `send` hands a message over as a connection does."""

    def __init__(self, store: ServingStore) -> None:
        self.release: Release | None = RELEASE
        self.is_known = asyncio.Event()
        self.is_known.set()
        self.database = Database(store)
        self.writer = DatabaseWriter(store, durable=True)
        self.broker = ConnectionDouble()
        publisher = Publisher(self.writer, "w1")
        publisher.use_connection(self.broker.as_connection())
        self.registry = CollectorRegistry()
        self.handler = LoyaltyHandler(
            database=self.database,
            release=self._release,
            writer=self.writer,
            publisher=publisher,
            metrics=EventMetrics(self.registry),
            worker="w1",
            code_topic="codes",
            line_topic="lines",
        )

    async def _release(self) -> Release | None:
        await self.is_known.wait()
        return self.release

    def send(self, kind: LoyaltyKind, payload: bytes, event_id: str | None = None) -> ReceiptDouble:
        one, receipt = message(f"shop/{kind}", payload, event_id)
        self.handler.handle(kind, one)
        return receipt

    def on(self, topic: str) -> list[bytes]:
        return [one[1] for one in self.broker.published.values() if one[0] == topic]

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Desk"]:
        task = asyncio.create_task(self.handler.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.writer.close()
            self.database.close()


def click(email: str, promotion: str = "Hoodie") -> bytes:
    return f"{promotion}, ClickConversion, {email}, Web".encode()


def purchase(email: str) -> bytes:
    return f"Hoodie, PurchaseConversion, {email}, [6], 9.45".encode()


@pytest.mark.parametrize("group", [1, 100])
def test_what_comes_first_counts_first(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    """The same in one transaction and in many."""
    monkeypatch.setattr(ordered, "GROUP", group)
    steps = [
        (click("a@x.y"), False),  # a stranger
        (purchase("a@x.y"), False),  # a member from here on
        (click("A@X.Y"), True),
        (click("a@x.y"), False),  # one code per promotion
        (click("a@x.y", "Socks"), True),
        (click(MEMBERS[0]), True),  # a member of the released list
    ]

    async def work() -> None:
        desk = Desk(store)
        receipts = [desk.send("conversion", row, str(n)) for n, (row, _) in enumerate(steps)]
        async with desk.working():
            await until(lambda: all(one.count == 1 for one in receipts))
            lines = [one.decode().rstrip().rpartition(", ")[2] for one in desk.on("lines")]
            assert lines == [str(is_sent) for _, is_sent in steps]
            sent = [json.loads(one) for one in desk.on("codes")]
            assert [one["email"] for one in sent] == ["a@x.y", "a@x.y", MEMBERS[0]]
            connection = await connect(store)
            assert [tuple(row) for row in await connection.fetch(CODES)] == [
                ("Hoodie", "a@x.y"), ("Hoodie", MEMBERS[0]), ("Socks", "a@x.y")
            ]  # fmt: skip
            members = await connection.fetch("select email, joined_by from events.members")
            assert [tuple(row) for row in members] == [("a@x.y", "purchase")]
            await connection.close()

    run(work)


def test_the_same_message_counts_once(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).working() as desk:
            receipts = [desk.send("conversion", click(MEMBERS[0])) for _ in range(3)]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            # Its key is deleted in time; what it led to is not.
            await connection.execute("truncate events.inbox")
            later = desk.send("conversion", click(MEMBERS[0]))
            await until(lambda: later.count)
            assert len(desk.on("codes")) == len(desk.on("lines")) == 1
            assert await connection.fetchval("select count(*) from events.conversions") == 1
            await connection.close()

    run(work)


def test_the_list_makes_members_and_knows_more_of_them_later(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).working() as desk:
            bought = desk.send("conversion", purchase("a@x.y"))
            await until(lambda: bought.count)
            for row in (b"a@x.y, fb_a, , F", b"A@x.y, , insta_a, "):
                listed = desk.send("loyalty", row)
                await until(lambda one=listed: one.count)
            connection = await connect(store)
            sql = "select email, fb_user, insta_user, gender, joined_by from events.members"
            rows = [tuple(row) for row in await connection.fetch(sql)]
            assert rows == [("a@x.y", "fb_a", "insta_a", "F", "list")]
            await connection.close()

    run(work)


def test_of_who_was_erased_nothing_is_taken_in(store: ServingStore) -> None:
    rows = [purchase("A@x.y"), purchase("b@x.y"), b"Hoodie, BrowseConversion, a@x.y, Web"]

    async def work() -> None:
        async with Desk(store).working() as desk:
            keep_out(store, "member", "a@x.y")
            receipts = [
                desk.send("conversion", b"\n".join(rows)),
                desk.send("loyalty", b"a@x.y, fb_a, , F"),
            ]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            for table in ("conversions", "members", "loyalty_list", "promo_codes"):
                found = await connection.fetch(f"select email from events.{table}")
                assert {row[0] for row in found} <= {"b@x.y"}, table
            assert await connection.fetchval("select count(*) from events.members") == 1
            dead = await connection.fetch("select payload, reason from events.dead_letter")
            assert [tuple(row) for row in dead] == [(b"", "unknown conversion type")]
            assert b"a@x.y" not in b"".join(desk.on("lines")).lower()
            await connection.close()

    run(work)


def test_a_row_that_cannot_be_read_is_set_aside_alone(store: ServingStore) -> None:
    rows = [click("a@x.y"), b"Hoodie, BrowseConversion, a@x.y, Web", purchase("b@x.y")]

    async def work() -> None:
        async with Desk(store).working() as desk:
            receipts = [desk.send("conversion", b"\n".join(rows)), desk.send("loyalty", b"\xff")]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            assert await connection.fetchval("select count(*) from events.conversions") == 2
            dead = await connection.fetch("select kind, payload, reason from events.dead_letter")
            assert {tuple(row) for row in dead} == {
                ("conversion", rows[1], "unknown conversion type"),
                ("loyalty", b"\xff", "neither JSON nor text in UTF-8"),
            }
            await connection.close()

    run(work)


def test_one_that_the_database_refuses_does_not_hold_up_the_others(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        await connection.execute(
            "alter table events.conversions add constraint odd check (promotion <> 'Odd')"
        )
        try:
            desk = Desk(store)
            receipts = [
                desk.send("conversion", click("a@x.y", name)) for name in ("One", "Odd", "Two")
            ]
            async with desk.working():
                await until(lambda: all(one.count == 1 for one in receipts))
            rows = await connection.fetch(
                "select promotion from events.conversions order by number"
            )
            assert [row[0] for row in rows] == ["One", "Two"]
            reason = await connection.fetchval("select reason from events.dead_letter")
            assert reason == "the database refuses it: CheckViolationError"
        finally:
            await connection.execute("alter table events.conversions drop constraint odd")
            await connection.close()

    run(work)


def test_a_replay_that_works_resolves_the_dead_letter(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).working() as desk:
            bad = desk.send("conversion", b"Hoodie, BrowseConversion, released@shop.example, Web")
            await until(lambda: bad.count)
            connection = await connect(store)
            key, topic = await connection.fetchrow(
                "select event_key, topic from events.dead_letter"
            )
            for _ in range(2):
                # Asked for twice before it is done: it is done once.
                desk.handler.replay(key, "conversion", topic, click(MEMBERS[0]))
            open_ = "select count(*) from events.dead_letter where resolved_at is null"
            await until_row(connection, open_, 0)
            assert len(desk.on("codes")) == 1
            await connection.close()

    run(work)


def test_messages_wait_until_it_is_known_who_is_a_member(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an unknown release nor one that cannot be read is one without members."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)

    async def work() -> None:
        desk = Desk(store)
        desk.is_known.clear()
        fetch, tries = desk.database.fetch, 0

        async def away(*given: object) -> list[asyncpg.Record]:
            nonlocal tries
            tries += 1
            if tries < 4:
                raise DatabaseUnavailableError
            return await fetch(*given)

        monkeypatch.setattr(desk.database, "fetch", away)
        async with desk.working():
            receipt = desk.send("conversion", click(MEMBERS[0]))
            await asyncio.sleep(0)
            assert receipt.count == 0
            desk.is_known.set()
            await until(lambda: receipt.count)
            assert tries == 4
            assert len(desk.on("codes")) == 1

    run(work)


def test_a_release_that_refuses_its_reader_makes_no_dead_letters(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages are as good as before: they stay at the broker."""

    async def refuse(*_given: object) -> list[asyncpg.Record]:
        raise asyncpg.InsufficientPrivilegeError

    async def work() -> None:
        desk = Desk(store)
        monkeypatch.setattr(desk.database, "fetch", refuse)
        receipt = desk.send("conversion", click(MEMBERS[0]))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.handler.run()
        assert receipt.count == 0

    run(work)


def test_what_waits_is_dropped_with_the_connection(store: ServingStore) -> None:
    """The broker sends it again, to whoever leads then."""

    async def work() -> None:
        desk = Desk(store)
        dropped = desk.send("conversion", click("a@x.y"))
        assert desk.handler.oldest_seconds() > 0
        desk.handler.drop()
        kept = desk.send("conversion", click("b@x.y"))
        async with desk.working():
            await until(lambda: kept.count)
            assert dropped.count == 0
            assert [b"b@x.y" in one for one in desk.on("lines")] == [True]

    run(work)


def test_a_group_holds_no_more_rows_than_one_transaction_takes(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "MAX_ROWS", 3)

    async def work() -> None:
        desk = Desk(store)
        sizes: list[int] = []
        write = desk.handler._write

        async def count(connection, group, *more):
            sizes.append(sum(len(one.rows) for one in group))
            return await write(connection, group, *more)

        monkeypatch.setattr(desk.handler, "_write", count)
        payload = b"\n".join(click(f"{n}@x.y") for n in range(2))
        receipts = [desk.send("conversion", payload, str(n)) for n in range(4)]
        async with desk.working():
            await until(lambda: all(one.count == 1 for one in receipts))
        assert sizes == [2, 2, 2, 2]

    run(work)
