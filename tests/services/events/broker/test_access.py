"""What each client of an installation's own broker can read and forge, and what strangers can."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from paho.mqtt.client import Client

from pollux.runtime.broker import HOST, MOSQUITTO, EmbeddedBroker, answers, find_mosquitto
from pollux.runtime.broker_access import access_dir, passwords_of
from pollux.runtime.settings import Settings
from services.events.broker.clients import broker_clients
from services.events.settings import EventSettingsError, MqttSettings
from tests.support.brokers import (
    MOSQUITTO_IS_MISSING,
    Inbox,
    LoginRefusedError,
    connected,
    publish,
    subscribe,
)
from tests.support.programs import free_port

VISITS = {"pollux/entry", "pollux/focus"}
PEOPLE = {"pollux/loyalty-list", "pollux/conversion"}
PURCHASES = {"pollux/purchase"}
OFFERS = {"pollux/coupon-prediction"}
CODES = {"pollux/promo-code", "pollux/promo-code-line"}
SEGMENTS = {"pollux/segment-changed"}
RELEASES, PROOF = {"pollux/releases/store"}, {"pollux/proof/one"}
OTHERS = {"else", "pollux/coupon-prediction/7", "pollux/promo"}
TOPICS = VISITS | PEOPLE | PURCHASES | OFFERS | CODES | SEGMENTS | RELEASES | PROOF | OTHERS
# By client: what it may publish to, what it may read.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "service": (OFFERS | CODES | SEGMENTS | RELEASES | PROOF, VISITS | PEOPLE | PURCHASES | PROOF),
    "sensor": (VISITS, RELEASES),
    "app": (VISITS, OFFERS | RELEASES),
    "screen": (set(), OFFERS | RELEASES),
    "club": (PEOPLE, RELEASES),
    "till": (PURCHASES, RELEASES),
    "mailer": (set(), CODES | RELEASES),
    "crm": (set(), SEGMENTS | RELEASES),
}


@dataclass
class Site:
    """A broker with its rules, and all of its clients, who ask for everything and hear some."""

    broker: EmbeddedBroker
    passwords: dict[str, str]
    authority: Path | None
    is_v5: bool
    clients: dict[str, tuple[Client, Inbox]]

    def hear(self, name: str) -> dict[str, set[str]]:
        """Has a client publish on every topic; returns the topics on which each client heard it."""
        # Mosquitto 2.0.11 refuses what is forbidden, and then closes the connection.
        told, end = f"by {name}".encode(), f"after {name}".encode()
        for topic in sorted(TOPICS):
            publish(self.clients[name][0], topic, told)
        # Who hears this has heard all of those.
        for topic in (*RELEASES, *PROOF):
            publish(self.clients["service"][0], topic, end)
        found = {}
        for reader, (_, inbox) in self.clients.items():
            inbox.wait_for(end)
            found[reader] = {topic for topic, payload in inbox.messages if payload == told}
        return found

    def may_log_in(self, user: str | None, password: str | None) -> bool:
        try:
            with self.connected("somebody", user, password):
                return True
        except LoginRefusedError:
            return False

    def connected(self, client_id: str, user: str | None, password: str | None):
        return connected(
            self.broker.port,
            client_id,
            is_v5=self.is_v5,
            login=(user, password),
            authority=self.authority,
        )


def start(stack: ExitStack, folder: Path, program: str, *, is_encrypted: bool) -> Site:
    if program == MOSQUITTO and find_mosquitto() is None:
        pytest.skip(MOSQUITTO_IS_MISSING)
    settings = Settings(data_dir=folder, broker_port=free_port(), broker_tls=is_encrypted)
    broker = EmbeddedBroker(settings, broker_clients(settings, MqttSettings()), program=program)
    stack.enter_context(broker.running())
    passwords = passwords_of(settings, list(ALLOWED))
    authority = access_dir(settings) / "ca.pem" if is_encrypted else None
    site = Site(broker, passwords, authority, program == MOSQUITTO, {})
    for name, password in passwords.items():
        client, inbox = stack.enter_context(site.connected(f"the {name}", name, password))
        site.clients[name] = client, inbox
        subscribe(client, ["#", "pollux/+", *sorted(TOPICS)])
    return site


@pytest.fixture(
    scope="module",
    params=[
        "mosquitto with TLS",
        *(
            pytest.param(one, marks=pytest.mark.endurance)
            for one in ("mosquitto", "amqtt with TLS")
        ),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    program, _, encryption = request.param.partition(" with ")
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("an installation")
        yield start(stack, folder, program, is_encrypted=bool(encryption))


@pytest.mark.integration
@pytest.mark.parametrize("name", ALLOWED)
def test_clients_publish_and_read_what_they_may(site: Site, name: str) -> None:
    publishes, _ = ALLOWED[name]
    expected = {reader: publishes & reads for reader, (_, reads) in ALLOWED.items()}
    assert site.hear(name) == expected


@pytest.mark.integration
@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), ("service", None), ("service", ""), ("service", "guessed"), ("nobody", "x")],
)
def test_strangers_do_not_log_in(site: Site, user: str | None, password: str | None) -> None:
    assert not site.may_log_in(user, password)


@pytest.mark.integration
def test_a_password_is_of_one_client(site: Site) -> None:
    allowed = {name for name, one in site.passwords.items() if site.may_log_in("mailer", one)}
    assert allowed == {"mailer"}


def leave_emails(site: Site, session: str) -> None:
    """Emails wait at the broker in a session of the service."""
    with site.connected(session, "service", site.passwords["service"]) as (client, _):
        subscribe(client, sorted(PEOPLE))
    for topic in sorted(PEOPLE):
        publish(site.clients["club"][0], topic, b"anna@shop.example")


@pytest.mark.integration
def test_what_waits_for_the_service_is_there_when_it_comes_back(site: Site) -> None:
    leave_emails(site, "pollux session")
    with site.connected("pollux session", "service", site.passwords["service"]) as (_, inbox):
        inbox.wait(len(PEOPLE))
        assert {topic for topic, _ in inbox.messages} == PEOPLE


@pytest.mark.integration
@pytest.mark.parametrize("name", ["sensor", "app", "screen", "club", "mailer"])
def test_what_waits_for_the_service_is_not_for_who_takes_its_session(site: Site, name: str) -> None:
    """Whoever knows the id of its session."""
    session = f"pollux session of {name}"
    leave_emails(site, session)
    try:
        with site.connected(session, name, site.passwords[name]) as (client, inbox):
            subscribe(client, sorted(RELEASES | PEOPLE))
            publish(site.clients["service"][0], "pollux/releases/store", b"the end")
            inbox.wait_for(b"the end")
            assert {topic for topic, _ in inbox.messages} == RELEASES
    except LoginRefusedError:
        assert not site.is_v5


@pytest.mark.integration
def test_an_encrypted_broker_answers_nobody_else(site: Site) -> None:
    assert answers(HOST, site.broker.port) == (site.authority is None)
    if site.authority is not None:
        # Of what this machine trusts, nothing signed for it.
        with (
            socket.create_connection((HOST, site.broker.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)


@pytest.mark.integration
def test_nobody_else_can_read_its_secrets(site: Site) -> None:
    folder = access_dir(Settings(data_dir=site.broker.log.parent.parent))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    assert {path.name for path in files} >= {"passwords.json", "mosquitto_pub", "mosquitto_sub"}
    secret = [*files, *(folder.parent.parent / "broker").glob("*")]
    assert {oct(path.stat().st_mode & 0o777) for path in secret} == {"0o600"}
    log = site.broker.log.read_text()
    assert not [one for one in site.passwords.values() if one in log]


def test_rules_follow_the_names_of_topics() -> None:
    settings = Settings(answer_topic_per_customer=True, answer_response_topics="shop/reply/")
    mqtt = MqttSettings(
        entry_event_topic_name="shop/in", coupon_prediction_topic_name="shop/offer for all"
    )
    found = {client.name: client for client in broker_clients(settings, mqtt)}
    assert found["sensor"].publishes == ["shop/in", "pollux/focus"]
    assert found["app"].reads == ["shop/offer for all/#", "shop/reply/#", "pollux/releases/#"]
    assert {"shop/offer for all/#", "shop/reply/#"} <= set(found["service"].publishes)


@pytest.mark.parametrize(
    ("settings", "topics", "message"),
    [
        ({"answer_response_topics": "shop/reply"}, {}, "POLLUX_ANSWER_RESPONSE_TOPICS must end"),
        ({"answer_response_topics": "pollux/"}, {}, "Whoever may read pollux/# at the broker"),
        (
            {"answer_topic_per_customer": True},
            {"conversion_topic_name": "pollux/coupon-prediction/used"},
            "could read pollux/coupon-prediction/used, too",
        ),
        ({}, {"release_topic_name": "pollux"}, "Whoever may read pollux/# at the broker"),
    ],
)
def test_answers_that_would_open_other_topics_are_refused(
    settings: dict[str, object], topics: dict[str, str], message: str
) -> None:
    with pytest.raises(EventSettingsError, match=message):
        broker_clients(Settings(**settings), MqttSettings(**topics))
