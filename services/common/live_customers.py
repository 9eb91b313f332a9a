"""Which customers have live rows: rows that are newer than the release.

Belongs here: knowing who they are. Does not belong here: reading their rows, and computing these
(`services.live`).

Rows count only where they follow the release that is served: an earlier version of Pollux switches
without them.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import asyncpg

from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from services.common.answers import Subject
from services.common.database import Database, DatabaseUnavailableError, SlowQueryError
from services.common.releases import Release, ReleaseWatcher

POLL_SECONDS = 0.5
TABLES = f"""
select nspname
from pg_class
inner join pg_namespace on relnamespace = pg_namespace.oid
where relname = '{live.CUSTOMERS}' and relkind = 'r'
"""
CHANGED = """
select current.number as release, customers.{key} as key, customers.revision
from release.current
inner join live.followed
    on current.domain = followed.domain and current.number = followed.release
left join {schema}.live_customers as customers on customers.revision > $2::bigint
where current.domain = $1
"""


class LiveCustomers:
    """Who has live rows, at most half a second after they were written."""

    def __init__(
        self,
        database: Database,
        watcher: ReleaseWatcher,
        look_again: asyncio.Event,
        domains: Iterable[str] = FOLLOWED,
    ) -> None:
        self._database = database
        self._look_again = look_again
        self._watcher = watcher
        # The revision of each customer's rows, by domain and key; the last one of all.
        self._keys: dict[str, dict[int, int]] = {domain: {} for domain in domains}
        self._revisions = dict.fromkeys(self._keys, 0)
        # Of which release all customers were read at once.
        self._read_of: dict[str, Release] = {}
        # Before the first look nobody is known.
        self.has_looked = False
        # Set once a look was tried.
        self.has_tried = asyncio.Event()

    def has(self, subject: Subject) -> bool:
        """Whether a customer, by domain and key, may have live rows."""
        domain, key = subject
        return key in self._keys[domain]

    def counts(self) -> Mapping[str, int]:
        """How many customers may have live rows, by domain."""
        return {domain: len(keys) for domain, keys in self._keys.items()}

    def revision(self, subject: Subject) -> int:
        """By which change a customer's live rows are known; 0 where none may be there."""
        domain, key = subject
        return self._keys[domain].get(key, 0)

    async def follow(self) -> None:
        """Looks at every notification, and twice a second; runs until cancelled."""
        while True:
            # While the database is away the watcher alone tries to reach it.
            if self._watcher.is_fresh():
                with suppress(DatabaseUnavailableError, SlowQueryError, asyncpg.PostgresError):
                    await self.look()
                # Whether it worked or not: nobody waits for ever.
                self.has_tried.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look_again.wait()
            self._look_again.clear()

    async def look(self) -> None:
        """Reads who has new live rows; after a switch, who still has any."""
        there = {name for (name,) in await self._database.fetch(TABLES)}
        for domain in self._keys:
            schema = live.schema_of(domain)
            if schema in there:
                sql = CHANGED.format(key=FOLLOWED[domain].key, schema=schema)
                await self._look(domain, sql)
            else:
                self._keys[domain] = {}
        self.has_looked = True

    async def _look(self, domain: str, sql: str) -> None:
        release = self._watcher.known(domain)
        is_whole = release is not self._read_of.get(domain)
        after = 0 if is_whole else self._revisions[domain]
        rows = await self._database.fetch(sql, domain, after)
        keys = {row["key"]: row["revision"] for row in rows if row["key"] is not None}
        # Of a release that is not known here yet, those who lack would be answered from the one
        # before.
        if is_whole and release and all(row["release"] == release.number for row in rows):
            self._keys[domain] = keys
            self._read_of[domain] = release
        else:
            self._keys[domain] |= keys
        self._revisions[domain] = max(keys.values(), default=after)
