"""The reader's connections to the serving database.

Belongs here: opening, sharing and dropping connections, and which failures mean that the database
cannot be reached. Does not belong here: any query.

The pool is our own: asyncpg's costs more time per query than the query itself (for its proxies,
and for resetting a session that nothing here changes).
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode

import asyncpg
from psycopg.conninfo import conninfo_to_dict

from pollux.runtime.serving import ServingStore, ServingStoreError
from services.common.lookups import Key, Lookups
from services.common.problems import ProblemError

CONNECTIONS = 10
# Besides, for whole lists, each a connection of its own.
COPIES_AT_ONCE = 4
CONNECT_SECONDS = 3
# The server ends a slow query; the client's limit is for a server that no longer answers.
STATEMENT_SECONDS = 5
COMMAND_SECONDS = 6
FOR_POOLERS = {"application_name", "options"}
LIMITS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}
SESSION = LIMITS | {
    "application_name": "pollux-service",
    "default_transaction_read_only": "on",
}
# What asyncpg reads from a URL; anything else it would send to the server as a setting.
URL_PARAMETERS = {
    "host", "port", "user", "password", "passfile", "dbname", "service", "sslmode", "sslcert",
    "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "krbsrvname", "gsslib",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs",
}  # fmt: skip

# What poolers answer to what no time mends; their other refusals are of a server that is away.
REFUSED_BY_POOLER = re.compile(
    r"unsupported startup parameter|transaction blocks not allowed|bouncer config error|"
    r"no such (database|user)|does not exist|auth(entication)? failed"
)

UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class Refusal(NamedTuple):
    """What only people can mend: `what` it is, and what the server told, which names users."""

    what: str
    told: str

    def __str__(self) -> str:
        return f"{self.what}: {self.told}."


class DatabaseUnavailableError(ProblemError):
    """The serving database does not answer, or refuses the service for good (`refusal`)."""

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.refusal = refusal
        if refusal is None:
            super().__init__(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "database-unavailable",
                "Database unavailable",
                "The serving database cannot be reached, so the current release is not known. The "
                "service recovers by itself.",
                headers={"Retry-After": "1"},
            )
        else:
            super().__init__(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "database-refuses",
                "Database refuses the service",
                f"{refusal.what}. This does not pass by itself: it lasts until somebody mends it. "
                "The service's log has what the server says.",
            )


def database_refuses() -> DatabaseUnavailableError:
    """An example of a refusal."""
    what = "The server of POLLUX_DATABASE_URL refuses its user"
    return DatabaseUnavailableError(Refusal(what, 'role "pollux" does not exist'))


class SlowQueryError(ProblemError):
    """The serving database ended a query that took too long."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "query-timeout",
            "Query took too long",
            f"The serving database did not answer within {STATEMENT_SECONDS} s.",
            headers={"Retry-After": "5"},
        )


class Database:
    """Up to `size` connections that read from the serving database, opened when needed.

    Through a pooler (PgBouncer) a connection has no session of its own: there each query has its
    own transaction, which is told what a session is told else, and nothing is prepared.

    Its methods raise `DatabaseUnavailableError` when the database cannot be reached, and asyncpg's
    errors for a query that the server rejects.
    """

    def __init__(self, serving_store: ServingStore, *, size: int = CONNECTIONS) -> None:
        self._dsn, self._settings = connection_arguments(serving_store)
        self._variable = serving_store.reader_variable
        self._is_embedded = serving_store.embedded is not None
        self._was_read = False
        self.begin = begin_statement(serving_store)
        # Of whole lists that are sent.
        self.copying = asyncio.Semaphore(COPIES_AT_ONCE)
        # Known once a server answered; the embedded one has no pooler.
        self._is_pooled: bool | None = None if serving_store.embedded is None else False
        self._size = size
        # None is a slot without a connection; the last used connection is taken first.
        self._free: list[asyncpg.Connection | None] = [None] * size
        self._lookups = Lookups(self.fetch)
        self._waiting: deque[asyncio.Future[asyncpg.Connection | None]] = deque()

    async def connect(self) -> asyncpg.Connection:
        """A connection of its own, not one of the pool's; `read` reads on it."""
        try:
            if self._is_pooled is not None:
                with suppress(asyncpg.ProtocolViolationError):
                    return await self._connect(is_pooled=self._is_pooled)
                # A pooler came between, or went.
                self._is_pooled = None
            is_pooled = await self._find_pooler()
            connection = await self._connect(is_pooled=is_pooled)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            raise self.failure_of(error) from error
        self._is_pooled = is_pooled
        return connection

    def failure_of(self, error: Exception) -> DatabaseUnavailableError:
        """The problem that an error of a connection is."""
        if isinstance(error, DatabaseUnavailableError):
            return error
        # Pollux itself makes the users of the embedded server, with the first release.
        refusal = None if self._is_embedded else refusal_of(self._variable, error)
        if self._was_read and isinstance(error, asyncpg.InvalidParameterValueError):
            # Before the first release it is not there yet.
            what = f"The role that readers take on is gone from the server of {self._variable}"
            refusal = Refusal(what, _told(error))
        return DatabaseUnavailableError(refusal)

    @property
    def can_listen(self) -> bool:
        """Whether a connection hears notifications: a pooler passes none on."""
        return not self._is_pooled

    async def check(self) -> None:
        """Raises `ServingStoreError` for what no time mends; a server that is away may come."""
        try:
            connection = await self.connect()
            try:
                await self.read(connection, "select 1")
            finally:
                connection.terminate()
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            if (refusal := self.failure_of(error).refusal) is not None:
                raise ServingStoreError(str(refusal)) from None

    async def read(
        self, connection: asyncpg.Connection, sql: str, *arguments: object
    ) -> list[asyncpg.Record]:
        """The rows of a query on a connection of `connect`; raises asyncpg's errors."""
        if not self._is_pooled:
            direct: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            self._was_read = True
            return direct
        try:
            await connection.execute(self.begin)
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
        except asyncpg.PostgresError:
            if not connection.is_closed():
                await connection.execute("rollback")
            raise
        # What asyncpg itself sets while it learns a type goes with the transaction.
        await connection.execute("rollback")
        self._was_read = True
        return rows

    async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """The rows of a query, which takes dates and times as text (`$1::text::date`).

        asyncpg would send the earliest and the latest of them as infinity.
        """
        arguments = tuple(_sent(one) for one in arguments)
        connection = await self._take()
        try:
            if connection is None or connection.is_closed():
                connection = await self.connect()
            rows = await self.read(connection, sql, *arguments)
        except asyncpg.QueryCanceledError as error:
            raise SlowQueryError from error
        except UNAVAILABLE as error:
            _drop(connection)
            raise self.failure_of(error) from error
        except asyncpg.PostgresError:
            raise
        except BaseException:
            # Cancelled in the middle of a reply: the next query would receive the rest of it.
            _drop(connection)
            raise
        else:
            return rows
        finally:
            self._give(connection)

    async def find(self, sql: str, key: Key) -> str | None:
        """The text of a key's row, or None; the query takes an array of keys (see `Lookups`)."""
        return await self._lookups.find(sql, key)

    def close(self) -> None:
        """Ends every connection of the pool."""
        for connection in self._free:
            _drop(connection)
        self._free = [None] * self._size

    async def _connect(self, *, is_pooled: bool) -> asyncpg.Connection:
        settings, more = self._settings, {}
        if is_pooled:
            # Options of the URL are not ours to drop: a pooler that does not take them says so.
            settings = {name: told for name, told in settings.items() if name in FOR_POOLERS}
            more = {"statement_cache_size": 0}
        return await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings,
            **more,
        )

    async def _find_pooler(self) -> bool:
        """Whether a pooler stands between: what it tells of the server's process is not so."""
        probe = await self._connect(is_pooled=True)
        try:
            async with probe.transaction():
                pid = await probe.fetchval("select pg_backend_pid()")
            return bool(pid != probe.get_server_pid())
        finally:
            probe.terminate()

    async def _take(self) -> asyncpg.Connection | None:
        if self._free:
            return self._free.pop()
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._give(place.result())
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailableError from error
            raise

    def _give(self, connection: asyncpg.Connection | None) -> None:
        # Handed over, not put back: a later caller could take it before the one that waits.
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(connection)
                return
        self._free.append(connection)


def connection_arguments(serving_store: ServingStore) -> tuple[str, dict[str, str]]:
    """The reader's URL as asyncpg takes it, and the settings of its sessions."""
    dsn, settings = asyncpg_arguments(serving_store.reader_url, SESSION)
    if serving_store.reader_set_role is not None:
        settings["role"] = serving_store.reader_set_role
    return dsn, settings


def begin_statement(serving_store: ServingStore) -> str:
    """What begins a transaction of a reader that has no session of its own."""
    told = [f"set local {name} = '{value}'" for name, value in LIMITS.items()]
    if serving_store.reader_set_role is not None:
        told.insert(0, f"set local role {serving_store.reader_set_role}")
    return "; ".join(["begin read only", *told])


def asyncpg_arguments(url: str, session: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A libpq URL as asyncpg takes it, and the settings of its sessions.

    libpq takes parameters in a URL that asyncpg does not know (connect_timeout, keepalives…).
    """
    parameters = conninfo_to_dict(url)
    known = {name: value for name, value in parameters.items() if name in URL_PARAMETERS}
    if "host" not in known and "hostaddr" in parameters:
        known["host"] = parameters["hostaddr"]
    settings = dict(session)
    if "options" in parameters:
        settings["options"] = str(parameters["options"])
    return f"postgresql://?{urlencode(known)}", settings


def refusal_of(variable: str, error: BaseException) -> Refusal | None:
    """What only people can mend, at the database that a variable names; None for what may pass."""
    told = _told(error)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return Refusal(f"The server of {variable} refuses its user", told)
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return Refusal(f"The server of {variable} does not have its database", told)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Refusal(f"The user of {variable} may not read", told)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return Refusal(f"{variable} cannot be used", told)
    if isinstance(error, asyncpg.PostgresConnectionError) and REFUSED_BY_POOLER.search(told):
        return Refusal(f"The pooler of {variable} refuses the connection", told)
    return None


def _sent(value: object) -> object:
    if isinstance(value, list):
        return [_sent(one) for one in value]
    return str(value) if isinstance(value, date) else value


def _told(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _drop(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        connection.terminate()
