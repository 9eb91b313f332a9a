"""The configuration that docs/events.md gives for a Mosquitto of one's own, run as it stands."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pollux.runtime.broker_access import Certificates
from pollux.runtime.certificates import make_certificates
from tests.conftest import PROJECT_DIR
from tests.services.events import support as shops
from tests.services.events.conftest import Shop
from tests.services.events.support import NOW, who_gets, working
from tests.support.brokers import LoginRefusedError, connected, publish

TOPICS = {
    "ENTRY_EVENT_TOPIC_NAME": "shop/entry",
    "FOCUS_EVENT_TOPIC_NAME": "shop/focus",
    "COUPON_PREDICTION_TOPIC_NAME": "shop/coupon-prediction",
}
USERS = ("pollux", "sensor", "screen", "club", "till", "mailer")


def blocks() -> tuple[list[str], list[str]]:
    """The lines of its listener, and of its rules."""
    page = (PROJECT_DIR / "docs/events.md").read_text()
    found = re.findall(r"test_own_rules\.py runs .*?-->\n\n((?:(?:    .*)?\n)+)", page)
    listener, rules = ([line.strip() for line in block.splitlines()] for block in found)
    return listener, rules


def test_the_page_s_rules_let_the_service_work_and_keep_others_apart(
    new_shop: Shop, tmp_path: Path
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed (Debian: apt-get install mosquitto)")
    listener, rules = blocks()
    passwords, authority = tmp_path / "passwords", tmp_path / "ca.pem"
    make_certificates(Certificates(authority, tmp_path / "server.pem", tmp_path / "server.key"))
    passwords.touch()
    for user in USERS:
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, f"of {user}"], check=True)
    (tmp_path / "rules").write_text("\n".join(rules))
    assert listener[0] == "listener 8883"
    lines = [line.replace("/etc/mosquitto", str(tmp_path)) for line in listener[1:]]
    environment = (
        new_shop.environment()
        | TOPICS
        | {
            "MQTT_HOST": "localhost",
            "MQTT_PORT": str(new_shop.port),
            "MQTT_USERNAME": "pollux",
            "MQTT_PASSWORD": "of pollux",
            "MQTT_BROKER_CERT_FILE": str(authority),
        }
    )
    for name in ("LOYALTY_LIST", "CONVERSION", "PROMO_CODE", "PROMO_CODE_LINE", "RELEASE"):
        # As they are by default.
        del environment[f"{name}_TOPIC_NAME"]

    def client(user: str, password: str, topic: str | None = None):
        return connected(
            new_shop.port, f"a {user}", topic=topic, login=(user, password), authority=authority
        )

    with (
        shops.broker(new_shop.folder / "broker", new_shop.port, *lines),
        working(new_shop.settings, **environment) as worker,
        client("screen", "of screen", "#") as (_, screen),
        client("mailer", "of mailer", "#") as (_, mailer),
        client("sensor", "of sensor", "#") as (sensor, seen),
        client("club", "of club", "#") as (club, told),
    ):
        publish(club, "pollux/conversion", b"Hoodie, ClickConversion, released@shop.example, Web")
        mailer.wait(2)
        event = f'{{"id": "{who_gets("Boys")}", "ts": {NOW}, "dep": "Boys"}}'.encode()
        publish(sensor, "shop/focus", event)
        screen.wait(1)
        assert {topic for topic, _ in mailer.messages} == {
            "pollux/promo-code",
            "pollux/promo-code-line",
        }
        for forger in (sensor, club):
            publish(forger, "shop/coupon-prediction", b"forged")
            publish(forger, "pollux/promo-code", b"forged")
        publish(sensor, "shop/focus", event.replace(str(NOW).encode(), str(NOW + 1).encode()))
        screen.wait(2)
        assert {topic for topic, _ in screen.messages} == {"shop/coupon-prediction"}
        assert b"forged" not in [payload for _, payload in (*screen.messages, *mailer.messages)]
        assert seen.messages == told.messages == []
        assert "does not let" not in worker.text
    with (
        shops.broker(new_shop.folder / "broker", new_shop.port, *lines),
        pytest.raises(LoginRefusedError),
        client("pollux", "guessed"),
    ):
        pass
