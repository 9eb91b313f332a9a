"""Where the serving database is, and who may do what in it.

Belongs here: URLs of the owner and of the reader, embedded or not. Does not belong here: what is
stored, which the release decides.
"""

from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pollux.runtime.errors import PolluxError
from pollux.runtime.libpq import without_environment
from pollux.runtime.postgres import OWNER, EmbeddedPostgres
from pollux.runtime.settings import Settings

DATABASE = "pollux"
READER_ROLE = "pollux_reader"
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
    they connect as the owner and switch to `reader_set_role` at once; else it is None.
    """

    owner_url: str
    reader_url: str
    reader_role: str
    reader_set_role: str | None
    embedded: EmbeddedPostgres | None

    def is_made(self) -> bool:
        """Whether there is a server; an embedded one is made on first use."""
        return self.embedded is None or self.embedded.exists()

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A connection as the owner; raises `ServingStoreError` where it cannot be made."""
        return _connect(self.owner_url, autocommit=autocommit)

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
        if hides_server(connection):
            connection.prepare_threshold = None
            connection.autocommit = False
            connection.read_only = True
            return connection
        try:
            if self.reader_set_role is not None:
                connection.execute(f"set role {self.reader_set_role}")
        except psycopg.Error as error:
            raise ServingStoreError(
                f"The read-only role {self.reader_role} cannot be used: {error}. The first release "
                "makes it, or POLLUX_READER_URL names another."
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
        )
    owner_url = settings.database_url.get_secret_value()
    try:
        conninfo_to_dict(owner_url)
    except psycopg.ProgrammingError:
        # Without the error's text, which would show the password.
        raise ServingStoreError("POLLUX_DATABASE_URL cannot be read as a URL.") from None
    if settings.reader_url is None:
        return ServingStore(owner_url, owner_url, READER_ROLE, READER_ROLE, None)
    reader_url = settings.reader_url.get_secret_value()
    try:
        reader_role = conninfo_to_dict(reader_url).get("user")
    except psycopg.ProgrammingError:
        raise ServingStoreError("POLLUX_READER_URL cannot be read as a URL.") from None
    if not reader_role:
        raise ServingStoreError("POLLUX_READER_URL names no user.")
    return ServingStore(owner_url, reader_url, str(reader_role), None, None)


def open_serving_store(settings: Settings) -> ServingStore:
    """Finds the serving database and makes sure that it is running and usable.

    Without `POLLUX_DATABASE_URL` it starts the embedded server and counts this process among its
    users.
    """
    serving_store = find_serving_store(settings)
    if serving_store.embedded is not None:
        serving_store.embedded.use()
        _make_database(serving_store.embedded)
    with serving_store.connect(autocommit=True) as connection:
        if serving_store.embedded is None and _lends_sessions(serving_store, connection):
            raise ServingStoreError(
                "POLLUX_DATABASE_URL leads to a pooler in transaction mode (such as PgBouncer), "
                "which keeps no session and so no lock: point it past the pooler, at PostgreSQL "
                "itself. POLLUX_READER_URL may go through the pooler."
            )
        if connection.info.server_version < MINIMUM_VERSION:
            raise ServingStoreError(
                f"The serving database runs PostgreSQL {connection.info.server_version // 10000}; "
                f"Pollux needs {MINIMUM_VERSION // 10000} or newer."
            )
    return serving_store


def hides_server(connection: psycopg.Connection) -> bool:
    """Whether a pooler stands between: what it tells of the server's process is not so."""
    return _server_pid(connection) != connection.info.backend_pid


def make_reader(connection: psycopg.Connection, serving_store: ServingStore) -> None:
    """Makes the role that services read with, if it is missing, within a transaction.

    Holds a lock until the transaction ends, so that two do not make it at once. Raises psycopg's
    `InsufficientPrivilege` where the owner may not.
    """
    connection.execute("select pg_advisory_xact_lock(hashtext('pollux prepare'))")
    reader = sql.Identifier(serving_store.reader_role)
    known = connection.execute(
        "select 1 from pg_roles where rolname = %s", [serving_store.reader_role]
    )
    if known.fetchone() is None:
        # A role that another one switches to needs no login.
        login = "nologin" if serving_store.reader_set_role else "login"
        connection.execute(sql.SQL(f"create role {{}} {login}").format(reader))
    if serving_store.reader_set_role is not None:
        may = connection.execute(
            "select pg_has_role(%s, 'member')", [serving_store.reader_role]
        ).fetchone()
        if may != (True,):
            connection.execute(sql.SQL("grant {} to current_user").format(reader))


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


def _connect(url: str, *, autocommit: bool) -> psycopg.Connection:
    try:
        with without_environment():
            return psycopg.connect(
                url, autocommit=autocommit, connect_timeout=10, application_name="pollux"
            )
    except psycopg.OperationalError as error:
        raise ServingStoreError(
            f"The serving database cannot be reached: {error}".strip()
            + "\nIs the server of POLLUX_DATABASE_URL up, or the embedded one started "
            "(pollux db start)?"
        ) from error
