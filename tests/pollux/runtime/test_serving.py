"""What `pollux up` runs: its ports, its broker, the key between its services."""

import socket

import pytest
from pydantic import SecretStr

from cli import serving
from pollux.runtime.settings import Settings
from services.common.port import PortError
from services.events.settings import EventSettingsError
from tests.support.programs import free_port

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


def test_scorer_and_event_service_share_a_key(settings: Settings) -> None:
    """Also where none is required yet: the next one that is added requires it."""
    made = [serving.key_between(settings)["POLLUX_SCORING_KEY"] for _ in range(2)]
    assert made[0] != made[1]
    scorer, events, *others = [
        one for one in serving.services(settings) if one.name != serving.BROKER
    ]
    assert (scorer.name, events.name) == (serving.SCORER, serving.EVENTS)
    assert scorer.environment is not None
    assert events.environment is not None
    key = scorer.environment["POLLUX_SCORING_KEY"]
    assert events.environment["POLLUX_SCORING_KEY"] == key
    for one in others:
        assert one.environment is None or "POLLUX_SCORING_KEY" not in one.environment
    for update in ({"scoring_key": SecretStr("own")}, {"scoring_url": "http://scorer.example"}):
        assert serving.key_between(settings.model_copy(update=update)) == {}
