"""What `pollux up` runs: its ports, its broker, the key between its services."""

import hashlib
import socket

import pytest

from cli import serving
from pollux.runtime.settings import Settings
from services.common.port import PortError
from services.events.settings import EventSettingsError
from tests.support.brokers import free_port

MQTT = {
    "MQTT_HOST": "one.example,two.example:2883",
    "MQTT_PORT": "1884",
    "ENTRY_EVENT_TOPIC_NAME": "entry",
    "FOCUS_EVENT_TOPIC_NAME": "focus",
    "COUPON_PREDICTION_TOPIC_NAME": "coupons",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in (*MQTT, "TESTING_NO_MQTT", "POLLUX_API_KEYS", "POLLUX_SCORING_KEY"):
        monkeypatch.delenv(name, raising=False)
    services = ("api", "scoring", "events", "dashboard", "broker", "dagster")
    names = [f"{service}_port" for service in services]
    ports: set[int] = set()
    while len(ports) < len(names):
        ports.add(free_port())
    return Settings(**dict(zip(names, ports, strict=True)))


@pytest.mark.parametrize("name", ["api", "scoring", "events", "dashboard", "broker", "dagster"])
def test_every_port_is_looked_at(settings: Settings, name: str) -> None:
    serving.check_ports(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(settings, f"{name}_port")))
        other.listen()
        with pytest.raises(PortError, match=f"POLLUX_{name.upper()}_PORT"):
            serving.check_ports(settings)


def test_port_of_a_broker_that_is_not_run_may_be_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in MQTT.items():
        monkeypatch.setenv(name, value)
    assert not serving.has_own_broker()
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.broker_port))
        other.listen()
        serving.check_ports(settings)
    described = serving.describe_broker(settings)
    assert described == (
        "MQTT on one.example:1884, two.example:2883: entry, focus; answers on coupons"
    )


def test_half_a_broker_is_refused_before_anything_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_HOST", "one.example")
    with pytest.raises(EventSettingsError, match="MQTT_PORT"):
        serving.check_ports(settings)


def test_no_broker_runs_without_mqtt(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving.has_own_broker()
    monkeypatch.setenv("TESTING_NO_MQTT", "true")
    assert not serving.has_own_broker()


def test_services_get_a_key_where_the_scorer_asks_for_one(settings: Settings) -> None:
    assert serving.keys_between(settings) == ({}, {})
    own = hashlib.sha256(b"own").hexdigest()
    scorer, events = serving.keys_between(settings.model_copy(update={"api_keys": own}))
    made = hashlib.sha256(events["POLLUX_SCORING_KEY"].encode()).hexdigest()
    assert scorer["POLLUX_API_KEYS"] == f"{own},{made}"
    elsewhere = {"api_keys": own, "scoring_url": "http://scorer.example"}
    assert serving.keys_between(settings.model_copy(update=elsewhere)) == ({}, {})
