"""The handler of entry and focus events: decided once, acknowledged when on disk, never stuck."""

import asyncio
import json

import asyncpg
import pytest

from pollux.runtime.serving import ServingStore
from tests.services.events.coupons.desk import Desk, focus
from tests.services.events.doubles import connect, keep_out, run, until, until_row
from tests.services.events.support import CUSTOMERS, DEPARTMENTS, NOW, TODAY, best, who_gets


def test_every_focus_is_answered_with_the_best_coupon(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            receipts = [
                desk.send("focus", focus(customer, department))
                for customer in CUSTOMERS
                for department in DEPARTMENTS
            ]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            rows = await connection.fetch(
                "select customer_id, department, coupon_id, outcome from events.decisions"
            )
            expected = {(c, d): best(c, d, TODAY) for c in CUSTOMERS for d in DEPARTMENTS}
            assert {(row[0], row[1]): row[2] for row in rows} == expected
            assert all((row[2] is None) == (row[3] == "no offer") for row in rows)
            sent = [json.loads(one[1]) for one in desk.broker.published.values()]
            found = {
                (int(one["customer"]["id"]), one["coupon"]["department"]): int(one["coupon"]["id"])
                for one in sent
            }
            assert found == {place: coupon for place, coupon in expected.items() if coupon}
            assert len(sent) == len(found)
            await connection.close()

    run(work)


def test_who_entered_is_answered_without_asking_the_scorer_again(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            customer = who_gets("Boys")
            # The focus event comes while the entry is being prepared.
            entered = desk.send("entry", b'{"id": %d, "ts": %d}' % (customer, NOW))
            focused = desk.send("focus", focus(customer))
            await until(lambda: entered.count and focused.count)
            assert [one[0] for one in desk.scorer.asked] == [customer]
            assert len(desk.broker.published) == 1
            assert desk.metric("pollux_events_decided_total", outcome="prepared") == 1
            assert desk.metric("pollux_events_decided_total", outcome="offer") == 1
            assert desk.handler.oldest_seconds() == 0

    run(work)


def test_an_event_that_comes_again_is_decided_once(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            customer = who_gets("Boys")
            # At once, and after it is done; of another worker, too.
            receipts = [desk.send("focus", focus(customer)) for _ in range(3)]
            await until(lambda: all(one.count == 1 for one in receipts))
            again = desk.send("focus", focus(customer))
            await until(lambda: again.count)
            async with Desk(store, worker="w2").know().working() as other:
                theirs = other.send("focus", focus(customer))
                await until(lambda: theirs.count)
                assert other.broker.published == {}
            assert len(desk.broker.published) == 1
            # With a name of its own it is another event.
            named = desk.send("focus", focus(customer), "a")
            await until(lambda: named.count)
            assert len(desk.broker.published) == 2
            assert desk.metric("pollux_events_repeated_total", kind="focus") == 3

    run(work)


def test_nothing_is_acknowledged_before_it_is_on_disk(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        may_flush, flush = asyncio.Event(), desk.flushes.flush

        async def slow() -> int:
            if desk.handler.oldest_seconds():
                await may_flush.wait()
            return await flush()

        monkeypatch.setattr(desk.flushes, "flush", slow)
        async with desk.working():
            receipt = desk.send("focus", focus(who_gets("Boys")))
            # The customer does not wait for the disk.
            await until(lambda: desk.broker.published)
            connection = await connect(store)
            assert await connection.fetchval("select count(*) from events.decisions") == 1
            assert receipt.count == 0
            may_flush.set()
            await until(lambda: receipt.count == 1)
            await connection.close()

    run(work)


def test_what_a_crash_of_the_database_forgot_is_decided_again(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit was answered, and lost before the flush: the flushing connection is a new one."""

    async def work() -> None:
        desk = Desk(store).know()
        connection = await connect(store)
        has_crashed = desk.crash_before_flush(connection, monkeypatch)
        async with desk.working():
            receipt = desk.send("focus", focus(who_gets("Boys")))
            await until(lambda: receipt.count == 1)
            rows = await connection.fetch("select answer_id::text from events.decisions")
            assert has_crashed.is_set()
            # Answered twice, under one id.
            assert {row[0] for row in rows} == set(desk.broker.ids)
            assert await connection.fetchval("select count(*) from events.outbox") == 1
        await connection.close()

    run(work)


def test_of_who_was_erased_nothing_is_taken_in(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            erased, other = CUSTOMERS[:2]
            keep_out(store, "customer", str(erased))
            unreadable = b'{"id": %d, "ts": "yesterday"}'
            receipts = [
                desk.send("entry", b'{"id": %d, "ts": %d}' % (erased, NOW)),
                desk.send("focus", focus(erased)),
                desk.send("focus", unreadable % erased),
                desk.send("focus", unreadable % other),
                desk.send("focus", focus(other)),
            ]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            for table in ("decisions", "contexts"):
                found = await connection.fetch(f"select customer_id from events.{table}")
                assert {row[0] for row in found} <= {other}, table
            assert await connection.fetchval("select count(*) from events.decisions") == 1
            letters = await connection.fetch("select payload from events.dead_letter order by id")
            assert {row[0] for row in letters} == {b"", unreadable % other}
            sent = [json.loads(one[1]) for one in desk.broker.published.values()]
            assert {int(one["customer"]["id"]) for one in sent} <= {other}
            await connection.close()

    run(work)


def test_what_cannot_be_read_is_set_aside_and_the_flow_goes_on(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            spelled = desk.offers.spelled
            monkeypatch.setattr(
                desk.offers, "spelled", lambda name: "\0" if name == "Toys" else spelled(name)
            )
            bad = desk.send("focus", b"{")
            # It can be read, and the database does not take it.
            refused = desk.send("focus", focus(1, "Toys"))
            good = [desk.send("focus", focus(customer)) for customer in CUSTOMERS]
            await until(lambda: all(one.count == 1 for one in (bad, refused, *good)))
            connection = await connect(store)
            rows = await connection.fetch(
                "select payload, reason from events.dead_letter order by id"
            )
            assert {(row[0], row[1].partition(":")[0]) for row in rows} == {
                (b"{", "not JSON"),
                (focus(1, "Toys"), "the database refuses it"),
            }
            count = await connection.fetchval("select count(*) from events.decisions")
            assert count == len(CUSTOMERS)
            assert desk.metric("pollux_events_dead_total", kind="focus") == 2
            await connection.close()

    run(work)


def test_a_replay_that_works_resolves_the_dead_letter(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            bad = desk.send("focus", b"{")
            await until(lambda: bad.count)
            connection = await connect(store)
            row = await connection.fetchrow("select event_key, topic from events.dead_letter")
            state = "select attempts, resolved_at is not null from events.dead_letter"
            desk.handler.replay(row[0], "focus", row[1], b"still {")
            await until_row(connection, "select attempts from events.dead_letter", 2)
            assert tuple(await connection.fetchrow(state)) == (2, False)
            await until(lambda: not desk.handler.oldest_seconds())
            desk.handler.replay(row[0], "focus", row[1], focus(who_gets("Boys")))
            await until(lambda: desk.broker.published)
            assert tuple(await connection.fetchrow(state)) == (2, True)
            await connection.close()

    run(work)


def test_an_event_that_breaks_the_decision_is_set_aside(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        desk = Desk(store).know()
        choose = desk.offers.choose

        async def broken(event):
            if event.customer_id == 1:
                raise RuntimeError("zebulon@leak.example")
            return await choose(event)

        monkeypatch.setattr(desk.offers, "choose", broken)
        async with desk.working():
            receipts = [desk.send("focus", focus(customer)) for customer in (1, 2)]
            await until(lambda: all(one.count == 1 for one in receipts))
            connection = await connect(store)
            reasons = await connection.fetch("select reason from events.dead_letter")
            assert [row[0] for row in reasons] == ["internal error while deciding: RuntimeError"]
            await connection.close()

    run(work)


def test_events_wait_until_it_is_known_what_is_released(store: ServingStore) -> None:
    """Before that it would look as if nothing were."""

    async def work() -> None:
        async with Desk(store).working() as desk:
            early = desk.send("focus", focus(who_gets("Boys")))
            connection = await connect(store)
            # Whatever needs no release is not held up by those that wait.
            bad = desk.send("focus", b"{")
            await until(lambda: bad.count)
            assert await connection.fetchval("select count(*) from events.decisions") == 0
            assert early.count == 0
            desk.know()
            await until(lambda: early.count)
            assert len(desk.broker.published) == 1
            desk.know(None)
            late = desk.send("focus", focus(2))
            await until(lambda: late.count)
            reasons = "select reason from events.decisions where customer_id = 2"
            assert await connection.fetchval(reasons) == "no release of the store"
            await connection.close()

    run(work)


def test_an_answer_whose_document_was_deleted_meanwhile_is_committed(store: ServingStore) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            customer = who_gets("Boys")
            first = desk.send("focus", focus(customer))
            await until(lambda: first.count)
            connection = await connect(store)
            await connection.execute("truncate events.documents, events.outbox")
            second = desk.send("focus", focus(customer, ts=NOW + 1))
            await until(lambda: second.count)
            assert await connection.fetchval("select count(*) from events.documents") == 1
            assert len(desk.broker.published) == 2
            await connection.close()

    run(work)


def test_a_database_that_is_away_for_a_moment_loses_and_doubles_nothing(
    store: ServingStore,
) -> None:
    async def work() -> None:
        async with Desk(store).know().working() as desk:
            connection = await connect(store)
            receipts = []
            for number in range(60):
                receipts.append(desk.send("focus", focus(number % 12 + 1, ts=NOW + number)))
                if number % 20 == 10:
                    await connection.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity "
                        "where application_name like 'pollux-%' and datname = current_database()"
                    )
                await asyncio.sleep(0)
            await until(lambda: all(one.count == 1 for one in receipts))
            assert await connection.fetchval("select count(*) from events.decisions") == 60
            offers = "select answer_id::text from events.decisions where outcome = 'offer'"
            expected = {row[0] for row in await connection.fetch(offers)}
            await desk.publisher.sweep_now()
            assert set(desk.broker.ids) == expected
            await connection.close()

    run(work)


def test_a_refusal_of_all_is_no_endless_loop(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dead letters refused as well, the worker ends with the database's error."""

    async def work() -> None:
        desk = Desk(store).know()

        async def refuse(*_: object) -> None:
            raise asyncpg.InsufficientPrivilegeError("no")

        monkeypatch.setattr(desk.commits, "retry", refuse)
        desk.send("focus", focus(1))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.handler.run()
        desk.close()

    run(work)
