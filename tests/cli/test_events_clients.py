"""`pollux events clients`: who may use the installation's broker, and with which password."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from pollux.runtime.broker_access import BrokerAccessError
from pollux.runtime.errors import PolluxError
from tests.services.events.broker.test_access import ALLOWED


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "keys" / "broker"


def listed(*options: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, ["events", "clients", "--json", *options])
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_passwords_are_shown_when_asked_for_and_stay(folder: Path) -> None:
    names = sorted({*ALLOWED} - {"service"})
    assert sorted(str(row["client"]) for row in listed()) == names
    assert all("password" not in row for row in listed())
    first = {row["client"]: row["password"] for row in listed("--show")}
    assert first == {row["client"]: row["password"] for row in listed("--show")}
    assert len(set(first.values())) == len(names)
    assert {len(str(one)) for one in first.values()} == {48}
    (folder / "passwords.json").unlink()
    again = {row["client"]: row["password"] for row in listed("--show")}
    assert not set(first.values()) & set(again.values())


def test_passwords_that_cannot_be_read_are_named(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "passwords.json").write_text("{")
    done = CliRunner().invoke(app, ["events", "clients"])
    assert isinstance(done.exception, BrokerAccessError)
    assert "passwords.json cannot be read as passwords of the broker" in str(done.exception)


def test_clients_of_your_own_broker_are_yours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENTRY_EVENT", "FOCUS_EVENT", "COUPON_PREDICTION"):
        monkeypatch.setenv(f"{name}_TOPIC_NAME", name.lower())
    monkeypatch.setenv("MQTT_HOST", "broker.example")
    monkeypatch.setenv("MQTT_PORT", "8883")
    done = CliRunner().invoke(app, ["events", "clients"])
    assert isinstance(done.exception, PolluxError)
    assert "that broker, and who may use it, is yours" in str(done.exception)
