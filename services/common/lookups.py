"""Rows by key, many keys to a query.

A query costs the server, the network and the event loop more than a row does. The first key goes
out at once; keys that arrive while its query runs go together in the next one. So no request
waits for more than two queries, and under load a query answers many requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Key = int | str
Fetch = Callable[[str, list[Key]], Awaitable[Iterable[Any]]]

# With more keys, the request for the first one would wait for the last.
MAX_KEYS = 64


class Lookups:
    """Asks for rows by key with `fetch`; each query text has its own queue of keys."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._waiting: dict[str, dict[Key, asyncio.Future[str | None]]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def find(self, sql: str, key: Key) -> str | None:
        """The text that a query gives for a key, or None.

        `sql` takes an array of keys and gives rows of key and text. Raises what `fetch` raises.
        """
        waiting = self._waiting.setdefault(sql, {})
        found = waiting.get(key)
        if found is None:
            found = waiting[key] = asyncio.get_running_loop().create_future()
        if sql not in self._asking:
            self._asking[sql] = asyncio.create_task(self._ask(sql))
        # Others may wait for the same key.
        return await asyncio.shield(found)

    async def _ask(self, sql: str) -> None:
        try:
            while waiting := self._waiting.pop(sql, None):
                asked = dict(list(waiting.items())[:MAX_KEYS])
                if later := {key: waiting[key] for key in waiting.keys() - asked.keys()}:
                    self._waiting[sql] = later
                await self._answer(sql, asked)
        finally:
            del self._asking[sql]

    async def _answer(self, sql: str, asked: dict[Key, asyncio.Future[str | None]]) -> None:
        try:
            rows = await self._fetch(sql, list(asked))
        except Exception as error:
            for found in asked.values():
                found.set_exception(error)
            return
        texts: dict[Key, str] = dict(rows)
        for key, found in asked.items():
            found.set_result(texts.get(key))
