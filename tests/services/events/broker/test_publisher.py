"""The publisher: every answer is sent, and marked when the broker has it; none is forgotten."""

from uuid import UUID, uuid4

from pollux.runtime.serving import ServingStore
from services.events.broker import publisher as module
from services.events.broker.publisher import Publisher
from services.events.database.connection import DatabaseWriter
from services.events.database.outbox import EventAnswer, write_answers
from tests.services.events.doubles import ConnectionDouble, connect, run

UNPUBLISHED = "select answer_id::text from events.outbox where published_at is null order by number"


class Desk:
    """A publisher with its database, and answers that were committed."""

    def __init__(self, store: ServingStore) -> None:
        self.store = store
        self.writer = DatabaseWriter(store, durable=False)
        self.publisher = Publisher(self.writer, "worker")

    async def commit(
        self, count: int, *, size: int = 1, worker: str = "worker"
    ) -> list[EventAnswer]:
        answers = [EventAnswer(uuid4(), "offers", b"x" * size) for _ in range(count)]
        given = [(UUID(int=number), one) for number, one in enumerate(answers)]
        await self.writer.retry(lambda connection: write_answers(connection, worker, given))
        return answers

    async def unpublished(self) -> list[str]:
        connection = await connect(self.store)
        rows = await connection.fetch(UNPUBLISHED)
        await connection.close()
        return [row[0] for row in rows]


def ids(answers: list[EventAnswer]) -> list[str]:
    return [str(one.id) for one in answers]


def test_what_the_broker_has_is_marked_and_nothing_else(store: ServingStore) -> None:
    async def work() -> None:
        desk, broker = Desk(store), ConnectionDouble()
        desk.publisher.use_connection(broker.as_connection())
        answers = await desk.commit(3)
        for answer in answers:
            desk.publisher.publish(answer)
        assert broker.ids == ids(answers)
        assert {one[:2] for one in broker.published.values()} == {("offers", b"x")}
        await desk.publisher.mark_now()
        assert await desk.unpublished() == ids(answers)
        desk.publisher.on_acknowledged(2, True)
        # Refused, and one that was never sent.
        desk.publisher.on_acknowledged(3, False)
        desk.publisher.on_acknowledged(77, True)
        await desk.publisher.mark_now()
        assert await desk.unpublished() == ids([answers[0], answers[2]])
        desk.writer.close()

    run(work)


def test_without_a_broker_a_sweep_sends_it_later(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        answers = await desk.commit(3)
        for answer in answers:
            desk.publisher.publish(answer)
        await desk.publisher.sweep_now()
        assert desk.publisher.depth == 3
        broker = ConnectionDouble()
        desk.publisher.use_connection(broker.as_connection())
        await desk.publisher.sweep_now()
        assert broker.ids == ids(answers)
        # What is under way is not sent a second time.
        await desk.publisher.sweep_now()
        assert len(broker.published) == 3
        desk.writer.close()

    run(work)


def test_a_new_connection_sends_again_what_the_old_one_did_not_confirm(store: ServingStore) -> None:
    async def work() -> None:
        desk, old, new = Desk(store), ConnectionDouble(), ConnectionDouble()
        desk.publisher.use_connection(old.as_connection())
        answers = await desk.commit(3)
        for answer in answers:
            desk.publisher.publish(answer)
        desk.publisher.on_acknowledged(1, True)
        desk.publisher.use_connection(None)
        desk.publisher.use_connection(new.as_connection())
        # The number of a packet of the old connection means nothing any more.
        desk.publisher.on_acknowledged(2, True)
        await desk.publisher.sweep_now()
        assert new.ids == ids(answers[1:])
        for mid in new.published:
            desk.publisher.on_acknowledged(mid, True)
        await desk.publisher.mark_now()
        await desk.publisher.sweep_now()
        assert await desk.unpublished() == []
        assert desk.publisher.depth == 0
        desk.writer.close()

    run(work)


def test_no_more_are_under_way_than_the_broker_takes(store: ServingStore) -> None:
    async def work() -> None:
        desk, broker = Desk(store), ConnectionDouble(receive_maximum=2)
        desk.publisher.use_connection(broker.as_connection())
        answers = await desk.commit(5)
        for answer in answers:
            desk.publisher.publish(answer)
        assert broker.ids == ids(answers[:2])
        desk.publisher.on_acknowledged(1, True)
        assert broker.ids == ids(answers[:3])
        desk.publisher.on_acknowledged(2, False)
        desk.publisher.on_acknowledged(3, True)
        assert broker.ids == ids(answers)
        desk.writer.close()

    run(work)


def test_beyond_a_limit_the_database_keeps_them(store: ServingStore, monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)

    async def work() -> None:
        desk, broker = Desk(store), ConnectionDouble(receive_maximum=1)
        desk.publisher.use_connection(broker.as_connection())
        answers = await desk.commit(8)
        for answer in answers:
            desk.publisher.publish(answer)
        heard = 0
        while heard < len(broker.published):
            heard += 1
            desk.publisher.on_acknowledged(heard, True)
        assert len(broker.published) < 8
        await desk.publisher.sweep_now()
        while heard < len(broker.published):
            heard += 1
            desk.publisher.on_acknowledged(heard, True)
            await desk.publisher.mark_now()
            await desk.publisher.sweep_now()
        assert sorted(set(broker.ids)) == sorted(ids(answers))
        assert await desk.unpublished() == []
        desk.writer.close()

    run(work)


def test_one_that_is_too_long_does_not_hold_up_the_others(store: ServingStore, caplog) -> None:
    async def work() -> None:
        desk, broker = Desk(store), ConnectionDouble(longest=10)
        desk.publisher.use_connection(broker.as_connection())
        long, short = await desk.commit(1, size=11), await desk.commit(1)
        for answer in (*long, *short):
            desk.publisher.publish(answer)
        assert broker.ids == ids(short)
        desk.publisher.on_acknowledged(1, True)
        await desk.publisher.mark_now()
        assert await desk.unpublished() == ids(long)
        assert f"Answer {long[0].id} is too long: 11 bytes; the broker takes 10" in caplog.text
        desk.writer.close()

    run(work)


def test_what_another_left_behind_is_sent_when_its_lease_ends(store: ServingStore) -> None:
    async def work() -> None:
        desk, broker = Desk(store), ConnectionDouble()
        desk.publisher.use_connection(broker.as_connection())
        theirs = await desk.commit(2, worker="another")
        await desk.publisher.sweep_now()
        assert broker.ids == []
        connection = await connect(store)
        await connection.execute("update events.outbox set leased_until = now()")
        await connection.close()
        await desk.publisher.sweep_now()
        assert broker.ids == ids(theirs)
        desk.writer.close()

    run(work)
