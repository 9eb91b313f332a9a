"""Settings of brokers and topics: what is read, and what is refused with its name."""

import pytest
from pydantic import ValidationError

from pollux.runtime.settings import Settings
from services.events.settings import EventSettingsError, read_mqtt_settings


def test_brokers_are_hosts_with_or_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_mqtt_settings().brokers(1884) == (("127.0.0.1", 1884),)
    for name in ("ENTRY_EVENT_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setenv("COUPON_PREDICTION_TOPIC_NAME", "out")
    monkeypatch.setenv("MQTT_PORT", "8883")
    monkeypatch.setenv("MQTT_HOST", "a, b:1, [::1]:2, ::1,")
    assert read_mqtt_settings().brokers(1884) == (("a", 8883), ("b", 1), ("::1", 2), ("::1", 8883))
    monkeypatch.setenv("MQTT_HOST", "a:b")
    with pytest.raises(EventSettingsError, match="MQTT_HOST: a:b has no port"):
        read_mqtt_settings().brokers(1884)
    monkeypatch.setenv("MQTT_HOST", " , ")
    with pytest.raises(EventSettingsError, match="names no broker"):
        read_mqtt_settings()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MQTT_HOST": "broker"}, "MQTT_HOST is set, so MQTT_PORT, ENTRY_EVENT_TOPIC_NAME, "),
        ({"MQTT_PROTOCOL": "4"}, "MQTT_PROTOCOL: "),
        ({"MQTT_PORT": "x"}, "MQTT_PORT: "),
        ({"ENTRY_EVENT_TOPIC_NAME": "pollux/focus"}, "need a topic each"),
        ({"ENTRY_EVENT_TOPIC_NAME": "shop/#"}, "ENTRY_EVENT_TOPIC_NAME: "),
        ({"COUPON_PREDICTION_TOPIC_NAME": "shop/+"}, "COUPON_PREDICTION_TOPIC_NAME: "),
    ],
)
def test_settings_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EventSettingsError) as caught:
        read_mqtt_settings()
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("prefix", ["$SYS/", "shop/+/reply", "shop/#", "shop/\0"])
def test_response_topics_begin_like_a_topic(prefix: str) -> None:
    with pytest.raises(ValidationError, match="answer_response_topics") as caught:
        Settings(answer_response_topics=prefix)
    assert "a topic begins with no $ and holds none of the wildcards + and #" in str(caught.value)
    assert Settings(answer_response_topics="shop/reply/").answer_response_topics == "shop/reply/"


@pytest.mark.parametrize("minutes", [-1, 10**6])
def test_a_cooldown_is_at_most_a_year(minutes: float) -> None:
    with pytest.raises(ValidationError, match="coupon_cooldown_minutes"):
        Settings(coupon_cooldown_minutes=minutes)
