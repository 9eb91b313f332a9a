"""The shell's variables for other servers, and its terminal, do not affect a command."""

import os
import subprocess
import sys

import psycopg
import pytest

from pollux.runtime.libpq import drop_environment, without_environment
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR

# One of each kind: an address, a service that nobody defined, options, a wrong user, a file.
OTHERS = {
    "PGPORT": "5433",
    "PGHOST": "elsewhere.example",
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "nobody-defined-it",
    "PGSERVICEFILE": "/nowhere",
    "PGOPTIONS": "-c search_path=nowhere -c statement_timeout=1",
    "PGUSER": "nobody",
    "PGDATABASE": "nothing",
    "PGSSLMODE": "verify-full",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGTZ": "Nowhere/Land",
    "PGDATA": "/nowhere",
}


def test_libpq_does_not_know_a_variable_that_is_left() -> None:
    """Those that libpq itself lists, and none beside them."""
    known = {o.envvar.decode() for o in psycopg.pq.Conninfo.get_defaults() if o.envvar}
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(known, "x") | {"PGADMIN_MINE": "kept", "POLLUX_X": "kept"})
    try:
        with without_environment():
            assert [name for name in known if name in os.environ] == []
            assert (os.environ["PGADMIN_MINE"], os.environ["POLLUX_X"]) == ("kept", "kept")
        assert all(os.environ[name] == "x" for name in known)
        drop_environment()
        assert [name for name in known if name in os.environ] == []
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.integration
@pytest.mark.parametrize("name", OTHERS)
def test_gateway_connects_whatever_the_shell_says(
    built: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, OTHERS[name])
    with open_serving_store(built).connect() as connection:
        found = connection.execute("show search_path").fetchone()
    assert found == ('"$user", public',)
    assert os.environ[name] == OTHERS[name]


@pytest.mark.integration
def test_command_reaches_its_server_whatever_the_shell_says(built: Settings, pollux) -> None:
    done = pollux(built, "query", "select 1 as x", "--format", "csv", **OTHERS)
    assert (done.returncode, done.stdout) == (0, "x\n1\n"), done.stderr


@pytest.mark.integration
def test_data_keep_their_characters_where_the_terminal_has_none(built: Settings, pollux) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    asked = ("query", "select 'Änne ✓' as x", "--format")
    done = pollux(built, *asked, "csv", **ascii_only)
    assert (done.returncode, done.stdout) == (0, "x\nÄnne ✓\n"), done.stderr
    done = pollux(built, *asked, "table", **ascii_only)
    assert done.returncode == 0, done.stderr
    assert "?nne ?" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_character_ends_a_report(encoding: str) -> None:
    """A name that is no UTF-8 comes as a lone surrogate, which no encoding has."""
    script = (
        "from cli.main import allow_any_terminal; from cli import output; allow_any_terminal();"
        "output.note('M\\udcfcnchen ✓ Änne 東京'); output.fail('→');"
        "output.print_rows(['✓'], [['→ 東京 \\udcfc']], 'table')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        cwd=PROJECT_DIR,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"nchen" in done.stderr
