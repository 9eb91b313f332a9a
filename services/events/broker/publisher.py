"""Publishing answers: sent when they are committed, marked when the broker has them.

Belongs here: what is under way, and what has to be sent again. Does not belong here: how answers
are kept (`database.outbox`), and what they say.
"""

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from services.events.broker.connection import (
    ANSWER_ID,
    EVENT_ID,
    BrokerConnection,
    TooLongError,
)
from services.events.database.connection import DatabaseWriter
from services.events.database.outbox import (
    CLAIMED_AT_ONCE,
    EventAnswer,
    claim_answers,
    count_unpublished,
    mark_published,
)

if TYPE_CHECKING:
    from uuid import UUID

MARK_SECONDS = 0.1
SWEEP_SECONDS = 1.0
# A message may have hundreds of kilobytes, and stays in memory until it is acknowledged.
MAX_UNDER_WAY = 200
MAX_WAITING = 5_000

log = logging.getLogger("pollux.events")


class Publisher:
    """Publishes a worker's answers over its current broker connection."""

    def __init__(self, writer: DatabaseWriter, worker: str) -> None:
        self.depth = 0
        self._writer = writer
        self._worker = worker
        self._connection: BrokerConnection | None = None
        self._under_way: dict[int, UUID] = {}
        self._waiting: deque[EventAnswer] = deque()
        self._acknowledged: list[UUID] = []
        self._claims_own = True

    def use_connection(self, connection: BrokerConnection | None) -> None:
        """Switches to a new connection; answers not acknowledged on the old one are sent again."""
        self._connection = connection
        self._under_way.clear()
        self._waiting.clear()
        self.claim_own()

    def claim_own(self) -> None:
        """Makes the next sweep send every unpublished answer of this worker."""
        self._claims_own = True

    def publish(self, answer: EventAnswer) -> None:
        """Sends a committed answer now if possible; otherwise a sweep does."""
        if self._connection is None or len(self._waiting) >= MAX_WAITING:
            self.claim_own()
        else:
            self._waiting.append(answer)
            self._send()

    def on_acknowledged(self, mid: int, is_accepted: bool) -> None:
        """Notes that the broker has an answer, or refuses it."""
        answer_id = self._under_way.pop(mid, None)
        if answer_id is None:
            return
        if is_accepted:
            self._acknowledged.append(answer_id)
        else:
            log.error("The broker refuses answer %s; it is sent again later", answer_id)
        self._send()

    async def mark(self) -> None:
        """Marks acknowledged answers as published; runs until cancelled."""
        while True:
            await asyncio.sleep(MARK_SECONDS)
            await self.mark_now()

    async def mark_now(self) -> None:
        """Marks acknowledged answers as published."""
        if not self._acknowledged:
            return
        marked, self._acknowledged = self._acknowledged, []
        try:
            await self._writer.retry(partial(mark_published, answers=marked))
        except BaseException:
            self._acknowledged += marked
            raise

    async def sweep(self) -> None:
        """Publishes answers that were left behind; runs until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep_now()

    async def sweep_now(self) -> None:
        """Publishes answers left behind by a broker or worker that went away, or for any worker."""
        self.depth = await self._writer.retry(count_unpublished)
        connection = self._connection
        if not self.depth or connection is None or not connection.is_open:
            return
        if len(self._waiting) > CLAIMED_AT_ONCE:
            return
        claims_own, self._claims_own = self._claims_own, False
        # Answers under way, or acknowledged but not marked yet, are not sent again.
        waiting = (answer.id for answer in self._waiting)
        known = [*self._under_way.values(), *waiting, *self._acknowledged]
        answers = await self._writer.retry(
            partial(claim_answers, worker=self._worker, known=known, claims_own=claims_own)
        )
        if len(answers) == CLAIMED_AT_ONCE:
            self._claims_own = claims_own
        for answer in answers:
            self.publish(answer)
        if answers:
            log.info("%d answers that waited are sent", len(answers))

    def _send(self) -> None:
        connection = self._connection
        if connection is None:
            return
        most = min(MAX_UNDER_WAY, connection.receive_maximum)
        while self._waiting and len(self._under_way) < most and connection.is_open:
            answer = self._waiting.popleft()
            properties = {ANSWER_ID: str(answer.id)}
            if answer.event_id is not None:
                properties[EVENT_ID] = answer.event_id
            try:
                mid = connection.publish(
                    answer.topic, answer.payload, properties, answer.correlation_data
                )
            except TooLongError as error:
                # It stays in the outbox and is tried again when its lease has ended.
                log.error("Answer %s is too long: %s", answer.id, error)  # noqa: TRY400
                continue
            if mid is None:
                self.claim_own()
            else:
                self._under_way[mid] = answer.id
