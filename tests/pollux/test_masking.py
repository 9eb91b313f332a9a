"""What databases say of data is masked, what they say of names and code stays."""

import asyncio
import logging
from pathlib import Path

import duckdb
import psycopg
import pytest

from pollux.masking import told, where_raised, without_values
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

NAME, EMAIL, STREET = "Áine O'Canary", "aine.canary@example.org", '7 "Yellow" Lane,\nCork'
VALUES = [NAME, EMAIL, STREET]
PARTS = ["Áine", "Canary", "canary", "example.org", "Yellow", "Lane", "Cork"]

SHOP = """
create table people (id integer primary key, email varchar unique, name varchar not null);
insert into people values (1, 'aine.canary@example.org', 'Áine O''Canary');
"""
# Statements that data can break, with the value as the parameter.
BROKEN = {
    "cast": "select cast({} as integer)",
    "date": "select cast({} as date)",
    "key": "insert into people select 2, email, {} from people",
    "blank": "insert into people select 3, {}, null",
    "length": "insert into people select cast({} as bigint), 'a', 'b'",
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("statement", BROKEN.values(), ids=BROKEN)
def test_no_error_of_duckdb_tells_a_value(statement: str, value: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(SHOP)
        with pytest.raises(duckdb.Error) as raised:
            connection.execute(statement.format(_literal(value)))
    masked = without_values(str(raised.value))
    assert not [part for part in PARTS if part in masked]
    assert masked


@pytest.mark.integration
def test_no_error_of_postgres_tells_a_value(short_tmp: Path) -> None:
    settings = Settings(data_dir=short_tmp / "masking")
    settings.data_dir.mkdir()
    told = 0
    with open_serving_store(settings).connect() as connection:
        connection.execute("set search_path = pg_temp")
        connection.execute(SHOP.replace("create table", "create temporary table").encode())
        for statement in BROKEN.values():
            for value in VALUES:
                with (
                    pytest.raises(psycopg.Error) as raised,
                    connection.transaction(),
                ):
                    connection.execute(statement.format(_literal(value)).encode())
                message = str(raised.value)
                told += any(part in message for part in PARTS)
                masked = without_values(message)
                assert not [part for part in PARTS if part in masked]
    # Else there was nothing to mask.
    assert told > len(BROKEN)


def test_errors_of_duckdb_do_tell_values() -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.Error, match="Canary"):
        connection.execute(BROKEN["cast"].format(_literal(NAME)))


def test_names_stay() -> None:
    blank = 'null value in column "name" of relation "people" violates not-null constraint\n'
    assert (
        without_values(f"{blank}DETAIL:  Failing row contains (3, Anna, null).")
        == f"{blank}DETAIL:  Failing row contains (personal)."
    )
    code = 'Binder Error: Referenced column "nmae" not found\nCandidate bindings: "name"'
    assert without_values(code) == code
    assert without_values("it isn't there, we can't") == "it isn't there, we can't"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cut = tmp_path / "accounts.csv.parquet"
    cut.write_bytes(b"PAR1" * 100)
    empty = tmp_path / "empty.parquet"
    empty.touch()
    missing = tmp_path / "it's gone.parquet"
    for file in (cut, empty, missing):
        with duckdb.connect() as connection, pytest.raises(duckdb.Error) as raised:
            connection.execute("select * from read_parquet($1)", [str(file)])
        assert file.name in without_values(str(raised.value))


@pytest.mark.parametrize(
    "address", ["host=127.0.0.1 port=1", "host=nowhere.invalid", "host=/nowhere port=1"]
)
def test_server_that_cannot_be_reached_is_named(address: str) -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(f"{address} dbname=pollux user=pollux connect_timeout=5")
    assert without_values(str(raised.value)) == str(raised.value)


def test_server_that_refuses_is_named() -> None:
    """As psycopg says it, with the database and the user that were asked for."""
    said = (
        'connection to server at "127.0.0.1", port 5432 failed: FATAL:  '
        'password authentication failed for user "pollux", database "shop"'
    )
    assert without_values(said) == said


def test_cause_of_a_database_that_cannot_go_on_is_named() -> None:
    """As DuckDB says it where a disk is full."""
    said = (
        "FATAL Error: Failed: database has been invalidated because of a previous fatal error.\n"
        "Original error: \"Could not convert string 'Anna': File too large\""
    )
    masked = without_values(said)
    assert masked.endswith("Original error: Could not convert string (personal): File too large")


def test_the_error_that_caused_one_is_told() -> None:
    """As DuckDB says it where a disk is full while it writes in the background."""
    said = (
        'IO Error: Async write failed for range [offset=27, size=9]: {"exception_type":"IO",'
        '"exception_message":"Could not write file \\"/data/x.parquet\\": No space left on device",'
        '"errno":"28"}'
    )
    assert without_values(said).endswith(
        'size=9]: Could not write file "/data/x.parquet": No space left on device'
    )
    assert "Anna" not in without_values(said.replace("Could", "Not \\'Anna\\', could"))


def test_traceback_has_places_and_types_only() -> None:
    def fail(value: str) -> None:
        try:
            int(value)
        except ValueError as error:
            raise KeyError(value) from error

    with pytest.raises(KeyError) as raised:
        fail(EMAIL)
    told = where_raised(raised.value)
    assert EMAIL not in told
    assert "in fail" in told
    assert told.splitlines()[-1] == "ValueError"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PolluxError("The file anna.csv is empty.\n"), "The file anna.csv is empty."),
        (FileNotFoundError(2, "No such file", "/data/x"), "[Errno 2] No such file: '/data/x'"),
        (psycopg.DataError(f'bad input: "{EMAIL}"'), "bad input: (personal)"),
        (duckdb.ConversionException(f"no date: '{EMAIL}'"), "no date: (personal)"),
        (KeyError(EMAIL), "KeyError"),
        (ValueError(f"no such {EMAIL}"), "ValueError"),
    ],
)
def test_of_other_libraries_only_the_kind_of_error_is_told(error: Exception, said: str) -> None:
    assert told(error) == said


@pytest.mark.usefixtures("masked_logs")
def test_no_log_of_an_error_tells_a_value(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError(EMAIL) from psycopg.DataError(NAME)

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])

    try:
        asyncio.run(fail())
    except ValueError:
        logging.getLogger("library").exception("It failed with %s.", 5)
    # asyncio tells of an error that nobody asked for.
    asyncio.run(forget())
    told_by_library, told_by_asyncio = caplog.text.split("Task exception was never retrieved")
    assert "It failed with 5." in told_by_library
    for text in (told_by_library, told_by_asyncio):
        assert "in fail" in text
        assert "DataError" in text
        assert not [part for part in PARTS if part in text]


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
