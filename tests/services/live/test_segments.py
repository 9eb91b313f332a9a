"""What is told of households whose segment changed: each change once, in a chain.

The models are stand-ins (`support`): a household is in the segment `2 baskets` when it has two.
"""

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import pyarrow as pa
import pytest

from orchestration.erase.export import export
from pollux.runtime import erasures
from pollux.runtime.live import SEGMENTS
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from services.events.database.retention import Retention
from tests.services.events.asyncapi import Captured, problems
from tests.services.live.support import TOPIC, CountingModels, buy, compute, release
from tests.support.live_events import take_in

pytestmark = pytest.mark.integration

Installation = tuple[Settings, ServingStore]
MESSAGES = "select topic, opening, answer_id from events.outbox order by number"
EVENT = "select event_key from events.basket_lines where number = %s"


class DailyModels(CountingModels):
    """Segments that every day changes."""

    def compute(
        self, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> dict[str, pa.Table]:
        marts = super().compute(keys, lines, live_day)
        rows = marts[SEGMENTS]
        names = pa.array([f"day {live_day}"] * rows.num_rows, pa.string())
        place = rows.column_names.index("segment")
        return marts | {SEGMENTS: rows.set_column(place, "segment", names)}


def messages(owner: psycopg.Connection) -> list[dict[str, Any]]:
    """What waits to be sent; each as the document says, and each with an id of its own."""
    rows = owner.execute(MESSAGES).fetchall()
    for topic, payload, answer_id in rows:
        sent = Captured("send", topic, bytes(payload), {"answer-id": str(answer_id)})
        assert problems(sent) == []
        assert topic == TOPIC
    assert len({answer_id for _, _, answer_id in rows}) == len(rows)
    return [json.loads(payload) for _, payload, _ in rows]


def told(owner: psycopg.Connection, household: int = 1) -> list[tuple[Any, ...]]:
    names = ("from", "to", "cause")
    found = [one for one in messages(owner) if one["household_key"] == household]
    for before, after in itertools.pairwise(found):
        assert before["to"] == after["from"]
        assert before["number"] < after["number"]
    return [tuple(one[name] for name in names) for one in found]


def released(owner: psycopg.Connection, number: int, household: int = 1) -> str:
    ((segment,),) = owner.execute(
        f"select segment from household__r{number}.{SEGMENTS} where household_key = %s",
        [household],
    ).fetchall()
    return str(segment)


def test_a_change_is_told_once_with_its_purchase(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    before = released(owner, first)
    number = buy(owner, 1, 10)
    ((event,),) = owner.execute(EVENT, [number]).fetchall()
    compute(*store)
    (message,) = messages(owner)
    assert message.pop("at").endswith("Z")
    assert message == {
        "number": 1,
        "household_key": 1,
        "from": before,
        "to": "1 baskets",
        "cause": "purchase",
        "why": "1 baskets",
        "event_key": str(event),
        "release": first,
    }
    # Computed again, by another process, and after a purchase that changes nothing.
    owner.execute("update household__live.live_customers set live_day = 1")
    compute(*store)
    buy(owner, 1, 10)
    compute(*store)
    assert len(messages(owner)) == 1
    # What is committed waits for nobody's lease.
    leases = "select count(*) from events.outbox where leased_until > clock_timestamp()"
    assert owner.execute(leases).fetchone() == (0,)


def test_a_correction_is_told_as_a_change_back(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    buy(owner, 1, 10)
    compute(*store)
    buy(owner, 1, 11)
    compute(*store)
    # Basket 11 was 10.
    owner.execute("update events.basket_lines set basket_id = 10")
    buy(owner, 1, 10)
    compute(*store)
    assert told(owner) == [
        (released(owner, first), "1 baskets", "purchase"),
        ("1 baskets", "2 baskets", "purchase"),
        ("2 baskets", "1 baskets", "purchase"),
    ]


def test_who_is_new_comes_from_no_segment_and_who_falls_out_of_scope_is_in_none(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    buy(owner, 4000, 10)
    buy(owner, 13, 11)
    compute(*store)
    assert told(owner, 4000) == [(None, "1 baskets", "purchase")]
    assert told(owner, 13) == [(released(owner, first, 13), None, "purchase")]


def test_a_release_that_says_the_same_tells_nothing(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    buy(owner, 1, 10)
    number = buy(owner, 2, 11)
    compute(*store)
    newer = buy(owner, 2, 12)
    compute(*store)
    known = messages(owner)
    # All of household 1 is in it, of household 2 a purchase is newer.
    release(owner, store[1], first + 1, number)
    compute(*store)
    release(owner, store[1], first + 2, newer)
    compute(*store)
    # Back: purchases are read again, and live rows come back.
    release(owner, store[1], first, 0, new=False)
    compute(*store)
    assert messages(owner) == known
    assert owner.execute("select count(*) from household__live.live_customers").fetchone() == (2,)


def test_a_release_that_says_otherwise_is_told_of_whom_it_was_told(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    number = buy(owner, 1, 10)
    compute(*store)
    release(owner, store[1], first + 1, number)
    table = f"household__r{first + 1}.{SEGMENTS}"
    owner.execute(f"update {table} set segment = 'Lost' where household_key in (1, 2)")
    compute(*store)
    compute(*store)
    assert told(owner) == [
        (released(owner, first), "1 baskets", "purchase"),
        ("1 baskets", "Lost", "release"),
    ]
    assert messages(owner)[-1]["event_key"] is None
    # Of household 2 nothing was told: its chain begins with what is released now.
    buy(owner, 1, 11)
    buy(owner, 2, 12)
    compute(*store)
    assert told(owner)[-1] == ("Lost", "2 baskets", "purchase")
    assert told(owner, 2) == [("Lost", "1 baskets", "purchase")]


def test_a_later_day_is_another_cause(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    buy(owner, 1, 10, day=720)
    compute(*store, DailyModels)
    buy(owner, 2, 11, day=721)
    compute(*store, DailyModels)
    assert told(owner) == [
        (released(owner, first), "day 720", "purchase"),
        ("day 720", "day 721", "day"),
    ]
    assert told(owner, 2) == [(released(owner, first, 2), "day 721", "purchase")]


def test_it_is_told_with_the_rows_or_not_at_all(
    store: Installation, owner: psycopg.Connection
) -> None:
    buy(owner, 1, 10)
    # The last of what is written is refused.
    owner.execute("alter table household__live.live_customers add constraint none check (false)")
    with pytest.raises(asyncpg.CheckViolationError):
        compute(*store)
    owner.execute("alter table household__live.live_customers drop constraint none")
    assert messages(owner) == []
    assert owner.execute("select * from events.segment_changes").fetchall() == []
    compute(*store)
    assert len(messages(owner)) == 1


def test_without_a_broker_nothing_is_told(
    store: Installation, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.services.live.support.TOPIC", None)
    buy(owner, 1, 10)
    compute(*store)
    assert messages(owner) == []


def test_an_erasure_takes_what_was_told_and_an_export_shows_it(
    store: Installation, owner: psycopg.Connection
) -> None:
    buy(owner, 1, 10)
    buy(owner, 2, 11)
    compute(*store)
    owner.execute("update events.outbox set published_at = now()")
    shown = export(store[0], Subject("household", "1"))["events"]["events.segment_changes"]
    assert [row["segment"] for row in shown] == ["1 baskets"]
    with store[1].connect() as connection:
        erased = erasures.erase(connection, Subject("household", "1"))
    assert erased.rows["events.segment_changes"] == erased.rows["events.outbox"] == 1
    left = "select household_key from events.segment_changes"
    assert owner.execute(left).fetchall() == [(2,)]
    ((payload,),) = owner.execute("select opening from events.outbox").fetchall()
    assert json.loads(bytes(payload))["household_key"] == 2
    # A purchase that was read before, and is computed only now.
    take_in(owner, "basket_lines", [{"household_key": 1, "basket_id": 12, "event_key": uuid4()}])
    compute(*store)
    assert owner.execute(left).fetchall() == [(2,)]


def test_the_last_change_stays_when_the_others_are_old(
    store: Installation, owner: psycopg.Connection
) -> None:
    for basket in (10, 11, 12):
        buy(owner, 1, basket)
        compute(*store)
    buy(owner, 2, 13)
    compute(*store)
    owner.execute("update events.segment_changes set changed_at = now() - interval '40 days'")
    # The first two were sent, the second lately.
    owner.execute("update events.outbox set published_at = now() where number <= 2")
    owner.execute("update events.outbox set published_at = 'epoch' where number = 1")

    async def work() -> None:
        one = Retention(store[1], Settings(events_retention_days=30))
        await one.delete_old()
        one.close()

    asyncio.run(work())
    left = "select number from events.segment_changes order by number"
    assert owner.execute(left).fetchall() == [(2,), (3,), (4,)]
    buy(owner, 1, 14)
    compute(*store)
    assert messages(owner)[-1]["from"] == "3 baskets"


def test_the_event_service_s_role_reads_segments_of_releases_and_no_more(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    role, table = store[1].events_role, f"household__r{first}.{SEGMENTS}"
    for column, may in (
        ("household_key", True),
        ("segment", True),
        ("why", True),
        ("m_score", False),
    ):
        found = owner.execute(
            "select has_column_privilege(%s, %s, %s, 'select')", [role, table, column]
        )
        assert found.fetchone() == (may,), column
    other = owner.execute(
        "select has_any_column_privilege(%s, %s, 'select')",
        [role, f"household__r{first}.household_rfm"],
    )
    assert other.fetchone() == (False,)
