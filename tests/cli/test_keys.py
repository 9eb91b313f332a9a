"""`pollux keys`: what it prints, and every mistake that can be made with it."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from pollux.runtime.errors import PolluxError
from pollux.runtime.keys import KeyScope

ADD = ["keys", "add", "app", "--scope", "score"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("POLLUX_API_KEYS", raising=False)
    return tmp_path / "data"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(*arguments: str) -> tuple[int, str]:
    """The exit code and the message of a command that fails."""
    done = run(*arguments)
    if isinstance(done.exception, PolluxError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.stderr


def listed() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("keys", "list", "--json").stdout)
    return found


def test_a_script_gets_the_key_alone(folder: Path) -> None:
    done = run(*ADD)
    key = done.stdout.removesuffix("\n")
    assert key.startswith("pollux_")
    assert key not in done.stderr
    assert "only its hash is kept" in done.stderr
    assert "require a key" in done.stderr
    assert hashlib.sha256(key.encode()).hexdigest() in (folder / "keys" / "keys.json").read_text()
    # Said once, with the first key.
    assert "require a key" not in run("keys", "add", "other", "--scope", "score").stderr


def test_keys_are_listed_without_the_keys(folder: Path) -> None:
    assert run("keys", "list").stdout == (
        "No keys: the services answer everybody on this machine.\n"
    )
    assert listed() == []
    key = run(*ADD, "--scope", "metrics", "--days", "30", "--per-minute", "600").stdout.strip()
    (row,) = listed()
    assert row["name"] == "app"
    assert row["scopes"] == ["score", "metrics"]
    assert row["per_minute"] == 600
    assert row["last_used_at"] is None
    assert row["state"] == "accepted"
    table = run("keys", "list").stdout
    assert {"app", "score", "metrics", "600", "accepted"} <= set(re.split(r"[\s,]+", table))
    for text in (table, json.dumps(row)):
        assert key not in text


def test_keys_of_the_settings_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLUX_API_KEYS", "ab" * 32)
    (row,) = listed()
    assert row["name"] == "setting:abababab"
    assert row["scopes"] == [scope.value for scope in KeyScope]
    assert "all" in run("keys", "list").stdout


def test_an_expired_key_is_listed_as_such() -> None:
    run(*ADD, "--days", "0.0000000001")
    assert [row["state"] for row in listed()] == ["expired"]


def test_a_key_is_revoked() -> None:
    run(*ADD)
    assert run("keys", "revoke", "app").stdout == "app is revoked.\n"
    assert listed() == []
    assert run("keys", "list").stdout == (
        "No keys, and the services require one: they answer nobody.\n"
    )


def test_a_rotated_key_is_another() -> None:
    first = run(*ADD).stdout
    done = run("keys", "rotate", "app", "--overlap-minutes", "90")
    assert done.stdout != first
    assert "90 more minutes" in done.stderr
    assert [row["name"] for row in listed()] == ["app"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["add", "app"], 2, "households:read  households, segments, campaigns"),
        (["add", "app", "--scope", "all"], 2, "'all' is not one of 'households:read'"),
        (["add", "App", "--scope", "score"], 1, "'App' is no name of a key"),
        (["add", "taken", "--scope", "score"], 1, "There is a key taken already"),
        (["add", "app", "--scope", "score", "--days", "0"], 2, "--days must be above 0"),
        (["add", "app", "--scope", "score", "--days", "-1"], 2, "--days must be above 0"),
        (["add", "app", "--scope", "score", "--days", "nan"], 2, "--days must be above 0"),
        (["add", "app", "--scope", "score", "--days", "1e9"], 1, "no calendar has that day"),
        (["add", "app", "--scope", "score", "--per-minute", "0"], 2, "1<=x<=100000"),
        (["add", "app", "--scope", "score", "--per-minute", "100001"], 2, "1<=x<=100000"),
        (["add", "--scope", "score"], 2, "Missing argument"),
        (["revoke", "nobody"], 1, "There is no key nobody. Known: taken."),
        (["rotate", "nobody"], 1, "There is no key nobody. Known: taken."),
        (["rotate", "taken", "--overlap-minutes", "-1"], 2, "0<=x<=527040"),
        (["rotate", "taken", "--overlap-minutes", "nan"], 2, "'nan' is not a valid int"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(
    folder: Path, arguments: list[str], code: int, message: str
) -> None:
    run("keys", "add", "taken", "--scope", "score")
    before = (folder / "keys" / "keys.json").read_bytes()
    found = said("keys", *arguments)
    assert found[0] == code
    assert message in found[1]
    assert (folder / "keys" / "keys.json").read_bytes() == before


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    run(*ADD)
    (folder / "keys" / "keys.json").write_text("{")
    for arguments in (["list"], ["add", "b", "--scope", "score"], ["revoke", "app"]):
        code, message = said("keys", *arguments)
        assert code == 2
        assert str(folder / "keys" / "keys.json") in message
        assert "Restore it" in message
