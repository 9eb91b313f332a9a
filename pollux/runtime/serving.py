"""Where the serving database is, and who may do what in it.

Belongs here: URLs of the owner, the reader and the event service, embedded or not. Does not belong
here: what the roles may do (`roles`), and what is stored, which the release decides.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from pollux.masking import told
from pollux.runtime.errors import PolluxError
from pollux.runtime.libpq import without_environment
from pollux.runtime.postgres import OWNER, EmbeddedPostgres
from pollux.runtime.settings import Settings

DATABASE = "pollux"
READER_ROLE = "pollux_reader"
EVENTS_ROLE = "pollux_events"
MINIMUM_VERSION = 150000
# A pooler that lends sessions gives the one that was used last; others may come between.
POOLER_TRIES = 5


class ServingStoreError(PolluxError):
    """The serving database cannot be reached, or Pollux cannot use it."""

    exit_code = 3


@dataclass(frozen=True)
class ServingStore:
    """How to reach the serving database.

    Services connect with `reader_url`. Where Pollux made its read-only role in your own database,
    they connect as the owner and switch to `reader_set_role` at once; else it is None. The event
    service writes likewise, with `events_url` (None is the owner's) and `events_set_role`.
    """

    owner_url: str
    reader_url: str
    reader_role: str
    reader_set_role: str | None
    embedded: EmbeddedPostgres | None
    events_url: str | None = None
    events_role: str = EVENTS_ROLE
    events_set_role: str | None = None

    def is_made(self) -> bool:
        """Whether there is a server; an embedded one is made on first use."""
        return self.embedded is None or self.embedded.exists()

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A connection as the owner; raises `ServingStoreError` where it cannot be made."""
        return _connect(self.owner_url, autocommit=autocommit)

    def connect_events(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A connection with the rights of the event service; raises `ServingStoreError`."""
        connection = _connect(self.events_url or self.owner_url, autocommit=True)
        if self.events_set_role is not None:
            with _reaching():
                connection.execute(f"set role {self.events_set_role}")
        connection.autocommit = autocommit
        return connection

    @property
    def reader_variable(self) -> str:
        """The setting that says where services read."""
        return "POLLUX_DATABASE_URL" if self.reader_set_role else "POLLUX_READER_URL"

    def connect_reader(self) -> psycopg.Connection:
        """A connection that can read releases and nothing else.

        Through a pooler, where settings of a session would be others' too, it is not in autocommit:
        `begin_reading` makes each of its transactions a reader's.
        """
        connection = _connect(self.reader_url, autocommit=True)
        with _reaching():
            is_hidden = hides_server(connection)
        if is_hidden:
            connection.prepare_threshold = None
            connection.autocommit = False
            connection.read_only = True
            return connection
        try:
            if self.reader_set_role is not None:
                connection.execute(f"set role {self.reader_set_role}")
        except psycopg.Error as error:
            raise ServingStoreError(
                f"The read-only role {self.reader_role} cannot be used: {told(error)}. The "
                "first release makes it, or POLLUX_READER_URL names another."
            ) from error
        connection.execute("set default_transaction_read_only = on")
        return connection

    def begin_reading(self, connection: psycopg.Connection) -> None:
        """Makes the transaction that begins here a reader's, on a connection through a pooler."""
        if self.reader_set_role is not None:
            connection.execute(f"set local role {self.reader_set_role}")

    def libpq_environment(self) -> dict[str, str]:
        """The PG… variables that let any libpq program connect as the owner."""
        given = conninfo_to_dict(self.owner_url)
        return {
            option.envvar.decode(): str(given[option.keyword.decode()])
            for option in psycopg.pq.Conninfo.get_defaults()
            if option.envvar and given.get(option.keyword.decode())
        }


def find_serving_store(settings: Settings) -> ServingStore:
    """Tells where the serving database is, without starting or reaching it."""
    if settings.database_url is None:
        embedded = EmbeddedPostgres(settings.data_dir)
        return ServingStore(
            owner_url=embedded.url(user=OWNER, database=DATABASE),
            reader_url=embedded.url(user=READER_ROLE, database=DATABASE),
            reader_role=READER_ROLE,
            reader_set_role=None,
            embedded=embedded,
            events_url=embedded.url(user=EVENTS_ROLE, database=DATABASE),
        )
    owner_url = settings.database_url.get_secret_value()
    # It may name no user: libpq takes that of the system.
    _parameters("POLLUX_DATABASE_URL", owner_url)
    reader_url, reader_role = _login("POLLUX_READER_URL", settings.reader_url)
    events_url, events_role = _login("POLLUX_EVENTS_DATABASE_URL", settings.events_database_url)
    return ServingStore(
        owner_url=owner_url,
        reader_url=reader_url or owner_url,
        reader_role=reader_role or READER_ROLE,
        reader_set_role=None if reader_role else READER_ROLE,
        embedded=None,
        events_url=events_url,
        events_role=events_role or EVENTS_ROLE,
        events_set_role=None if events_role else EVENTS_ROLE,
    )


def _login(variable: str, url: SecretStr | None) -> tuple[str | None, str | None]:
    """The URL of a variable and its user; None for both if it is not set."""
    if url is None:
        return None, None
    user = _parameters(variable, url.get_secret_value()).get("user")
    if not user:
        raise ServingStoreError(f"{variable} names no user.")
    return url.get_secret_value(), str(user)


def _parameters(variable: str, url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Without the error's text, which would show the password.
        raise ServingStoreError(f"{variable} cannot be read as a URL.") from None


def open_serving_store(settings: Settings) -> ServingStore:
    """Finds the serving database and makes sure that it is running and usable.

    Without `POLLUX_DATABASE_URL` it starts the embedded server and counts this process among its
    users. Raises `ServingStoreError`, also where the server goes away meanwhile.
    """
    serving_store = find_serving_store(settings)
    if serving_store.embedded is not None:
        serving_store.embedded.use()
        with _reaching():
            _make_database(serving_store.embedded)
    with _reaching(), serving_store.connect(autocommit=True) as connection:
        _check_server(serving_store, connection)
    return serving_store


def _check_server(serving_store: ServingStore, connection: psycopg.Connection) -> None:
    if serving_store.embedded is None and _lends_sessions(serving_store, connection):
        raise ServingStoreError(
            "POLLUX_DATABASE_URL leads to a pooler in transaction mode (such as PgBouncer), which "
            "keeps no session and so no lock: point it past the pooler, at PostgreSQL itself. "
            "POLLUX_READER_URL may go through the pooler."
        )
    if connection.info.server_version < MINIMUM_VERSION:
        raise ServingStoreError(
            f"The serving database runs PostgreSQL {connection.info.server_version // 10000}; "
            f"Pollux needs {MINIMUM_VERSION // 10000} or newer."
        )


def hides_server(connection: psycopg.Connection) -> bool:
    """Whether a pooler stands between: what it tells of the server's process is not so."""
    return _server_pid(connection) != connection.info.backend_pid


def _make_database(embedded: EmbeddedPostgres) -> None:
    with _connect(embedded.url(user=OWNER, database=OWNER), autocommit=True) as connection:
        exists = "select 1 from pg_database where datname = %s"
        if connection.execute(exists, [DATABASE]).fetchone() is None:
            # Another process may be making it at this moment.
            with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateDatabase):
                connection.execute(f"create database {DATABASE}")


def _server_pid(connection: psycopg.Connection) -> int:
    row = connection.execute("select pg_backend_pid()", prepare=False).fetchone()
    assert row is not None  # noqa: S101 - one row without a table
    return int(row[0])


def _lends_sessions(serving_store: ServingStore, connection: psycopg.Connection) -> bool:
    """Whether transactions of one connection, or of two, come to sessions that they share."""
    if not hides_server(connection):
        return False
    seen: tuple[set[int], set[int]] = (set(), set())
    with serving_store.connect(autocommit=True) as other:
        for _ in range(POOLER_TRIES):
            for one, pids in zip((connection, other), seen, strict=True):
                pids.add(_server_pid(one))
    return bool(seen[0] & seen[1]) or max(map(len, seen)) > 1


@contextmanager
def _reaching() -> Iterator[None]:
    """Raises `ServingStoreError` where the server cannot be reached, or goes away within."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise ServingStoreError(
            f"The serving database cannot be reached: {told(error)}\n"
            "Is the server of POLLUX_DATABASE_URL up, or the embedded one started "
            "(pollux db start)?"
        ) from error


def _connect(url: str, *, autocommit: bool) -> psycopg.Connection:
    with _reaching(), without_environment():
        return psycopg.connect(
            url, autocommit=autocommit, connect_timeout=10, application_name="pollux"
        )
