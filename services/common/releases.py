"""Which release of each domain is the current one.

Belongs here: following `release.current`, and the promise that no answer is made from a release
that was replaced more than a second before. Does not belong here: what a release holds.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType

import asyncpg

from services.common.database import (
    UNAVAILABLE,
    Database,
    DatabaseUnavailableError,
    Refusal,
)
from services.common.problems import ProblemError

CHANNEL = "release"
POLL_SECONDS = 0.5
# Older than this, the releases are read again before an answer.
MAX_AGE_SECONDS = 1.0
CHECK_SECONDS = 2.0
# While the database is down, requests don't queue up for one failing connection each.
FAILED_SECONDS = 0.25
DOMAIN_PATTERN = re.compile(r"[a-z][a-z_]{0,40}", re.ASCII)

CURRENT = """
select current.domain, current.number, releases.released_at
from release.current
left join release.releases using (domain, number)
"""

log = logging.getLogger("pollux.services")


class Release:
    """One release of a domain: `household-3`, in schema `household__r3`.

    `etag` differs between releases, between installations, and between versions of the service
    whose documents differ (`edition`).
    """

    __slots__ = ("domain", "etag", "headers", "name", "names", "number", "released_at", "schema")

    def __init__(
        self, domain: str, number: int, released_at: datetime | None, edition: str
    ) -> None:
        self.domain = domain
        self.number = number
        self.released_at = released_at
        self.name = f"{domain}-{number}"
        self.schema = f"{domain}__r{number}"
        moment = released_at.isoformat() if released_at else ""
        origin = hashlib.sha256(f"{moment} {edition}".encode()).hexdigest()[:10]
        self.etag = f'"{self.name}-{origin}"'
        # Values of its columns, once somebody asked for one that is not among them.
        self.names: dict[tuple[str, ...], Sequence[str] | None] = {}
        self.headers = [
            (b"etag", self.etag.encode()),
            (b"x-pollux-release", self.name.encode()),
            # Clients may cache but must revalidate: a release can follow at any moment.
            (b"cache-control", b"no-cache"),
            (b"vary", b"Accept"),
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Release) and self.etag == other.etag

    def __hash__(self) -> int:
        return hash(self.etag)

    def __repr__(self) -> str:
        return f"Release({self.etag})"


class NothingReleasedError(ProblemError):
    """The domain has no release yet, or no domain has one."""

    def __init__(self, domain: str | None = None) -> None:
        of_domain = "" if domain is None else f" of domain {domain}"
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "nothing-released",
            "Nothing released yet",
            f"No release{of_domain} exists yet: load its data and build (pollux build).",
            headers={"Retry-After": "5"},
        )


class ReleaseWatcher:
    """Follows `release.current` over its own connection, by NOTIFY and by polling.

    Through a pooler, by asking alone.

    `on_change` is called with the new releases by domain, what `channels` name at notifications.
    """

    def __init__(
        self,
        database: Database,
        *,
        edition: str,
        on_change: Callable[[Mapping[str, Release]], None],
        channels: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        self._database = database
        self._channels = channels
        self._edition = edition
        self._on_change = on_change
        self._releases: dict[str, Release] = {}
        self._connection: asyncpg.Connection | None = None
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure: DatabaseUnavailableError | None = None
        self._wake = asyncio.Event()

    def is_fresh(self) -> bool:
        """Whether the last look is at most a second old."""
        return time.monotonic() - self._checked_at <= MAX_AGE_SECONDS

    @property
    def refusal(self) -> Refusal | None:
        """Why the database refuses the service for good; None if it does not, or only is away."""
        return None if self._failure is None else self._failure.refusal

    def known(self, domain: str) -> Release | None:
        """The release of a domain at the last look; call `refresh` first where not fresh."""
        return self._releases.get(domain)

    async def current(self, domain: str) -> Release:
        """The current release; raises `DatabaseUnavailableError` or `NothingReleasedError`."""
        if not self.is_fresh():
            await self.refresh()
        release = self._releases.get(domain)
        if release is None:
            raise NothingReleasedError(domain)
        return release

    async def all_current(self) -> Mapping[str, Release]:
        """The current releases by domain; raises `DatabaseUnavailableError`."""
        if not self.is_fresh():
            await self.refresh()
        return self._releases

    async def refresh(self) -> None:
        """Looks now, or waits for a look that is under way; raises `DatabaseUnavailableError`."""
        if time.monotonic() - self._failed_at < FAILED_SECONDS:
            raise DatabaseUnavailableError(self.refusal)
        await self._check()
        if not self.is_fresh():
            raise DatabaseUnavailableError(self.refusal)

    async def check_again(self) -> None:
        """Looks with a query that starts after this call."""
        if self._checking is not None:
            await self._check()
        await self._check()

    async def follow(self) -> None:
        """Looks at every notification, and twice a second; runs until cancelled."""
        while True:
            with suppress(DatabaseUnavailableError):
                await self._check()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    def close(self) -> None:
        """Ends the watcher's connection."""
        connection, self._connection = self._connection, None
        self._checked_at = float("-inf")
        if connection is not None:
            connection.terminate()

    async def _check(self) -> None:
        if self._checking is None:
            self._checking = asyncio.create_task(self._look())
            self._checking.add_done_callback(self._looked)
        # A cancelled caller must not cancel the others.
        await asyncio.shield(self._checking)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._listen()
                asked_at = time.monotonic()
                rows = await self._read(self._connection)
        except (*UNAVAILABLE, asyncpg.PostgresError, DatabaseUnavailableError) as error:
            failure = self._database.failure_of(error)
            if self._failure is None or failure.refusal != self._failure.refusal:
                _log(failure, error)
            self.close()
            self._failed_at, self._failure = time.monotonic(), failure
            raise failure from error
        self._failed_at, self._failure = float("-inf"), None
        self._know(rows)
        if self._connection is not None:
            self._checked_at = asked_at

    async def _listen(self) -> asyncpg.Connection:
        connection = await self._database.connect()
        connection.add_termination_listener(self._lost)
        if self._database.can_listen:
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            for channel, call in self._channels.items():
                await connection.add_listener(channel, lambda *_, call=call: call())
        return connection

    async def _read(self, connection: asyncpg.Connection) -> list[asyncpg.Record]:
        try:
            return await self._database.read(connection, CURRENT)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            # The first release creates them.
            return []

    def _know(self, rows: list[asyncpg.Record]) -> None:
        releases = {
            domain: Release(domain, number, released_at, self._edition)
            for domain, number, released_at in rows
            if DOMAIN_PATTERN.fullmatch(domain)
        }
        if releases == self._releases:
            return
        # A release that stays keeps its object: answers in memory are compared by identity.
        for domain, release in self._releases.items():
            if releases.get(domain) == release:
                releases[domain] = release
        self._releases = releases
        log.info("Current releases: %s", ", ".join(one.name for one in releases.values()))
        self._on_change(releases)

    def _lost(self, connection: object) -> None:
        if connection is self._connection:
            self.close()
            self._wake.set()


def _log(failure: DatabaseUnavailableError, error: BaseException) -> None:
    if failure.refusal is None:
        log.warning("The serving database cannot be reached: %r", error.__cause__ or error)
    else:
        log.error("%s This does not pass by itself.", failure.refusal)
