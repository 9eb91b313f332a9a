"""The outbox: who may send an answer, in which order, and when again."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from pollux.runtime.serving import ServingStore
from services.events.database import outbox
from services.events.database.outbox import EventAnswer, SharedDocument
from tests.services.events.doubles import connect, run

END_LEASES = "update events.outbox set leased_until = now() - interval '1 s'"


def answers(count: int, document: SharedDocument | None = None) -> list[tuple[UUID, EventAnswer]]:
    return [
        (uuid4(), EventAnswer(uuid4(), "offers", b"<%d" % number, document, b">"))
        for number in range(count)
    ]


async def claimed(
    connection: asyncpg.Connection, worker: str, *known: UUID, claims_own: bool = False
) -> list[UUID]:
    found = await outbox.claim_answers(connection, worker, known, claims_own=claims_own)
    return [one.id for one in found]


def test_a_lease_keeps_others_out_until_it_ends(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        given = answers(3)
        ids = [one.id for _, one in given]
        await outbox.write_answers(connection, "first", given)
        assert await claimed(connection, "second") == []
        assert await claimed(connection, "first") == []
        # The worker itself may send at once what it lost sight of.
        assert await claimed(connection, "first", ids[0], claims_own=True) == ids[1:]
        await connection.execute(END_LEASES)
        assert await claimed(connection, "second") == ids
        # Claimed is leased again.
        assert await claimed(connection, "first") == []
        await connection.close()

    run(work)


def test_what_is_published_is_not_sent_again(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        given = answers(3)
        ids = [one.id for _, one in given]
        await outbox.write_answers(connection, "first", given)
        await outbox.mark_published(connection, [ids[2], ids[0]])
        assert await outbox.count_unpublished(connection) == 1
        await connection.execute(END_LEASES)
        assert await claimed(connection, "second") == [ids[1]]
        await connection.close()

    run(work)


def test_answers_come_whole_with_the_document_that_they_share(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        document = SharedDocument(uuid4(), b"products")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await outbox.write_answers(connection, "first", answers(1, document))
        await outbox.write_documents(connection, [document, document])
        await outbox.write_documents(connection, [document])
        await outbox.write_answers(connection, "first", [*answers(2, document), *answers(1)])
        found = await outbox.claim_answers(connection, "first", (), claims_own=True)
        assert [one.payload for one in found] == [b"<0products>", b"<1products>", b"<0>"]
        assert {one.topic for one in found} == {"offers"}
        await connection.close()

    run(work)


def test_many_are_claimed_in_parts_and_in_order(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        given = answers(outbox.CLAIMED_AT_ONCE + 7)
        ids = [one.id for _, one in given]
        await outbox.write_answers(connection, "gone", given)
        await connection.execute(END_LEASES)
        assert await claimed(connection, "first") == ids[: outbox.CLAIMED_AT_ONCE]
        assert await claimed(connection, "second") == ids[outbox.CLAIMED_AT_ONCE :]
        await connection.close()

    run(work)


def test_two_that_claim_at_once_get_different_answers(store: ServingStore) -> None:
    async def work() -> None:
        one, other = await connect(store), await connect(store)
        given = answers(outbox.CLAIMED_AT_ONCE + 1)
        await outbox.write_answers(one, "gone", given)
        await one.execute(END_LEASES)
        async with one.transaction():
            first = await claimed(one, "first")
            # The other's rows are passed over, not waited for.
            second = await claimed(other, "second")
        assert (len(first), len(second)) == (outbox.CLAIMED_AT_ONCE, 1)
        assert not set(first) & set(second)
        await one.close()
        await other.close()

    run(work)
