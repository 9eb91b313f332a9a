"""Who may do what at the installation's own broker, and how the project's own clients log in.

Belongs here: the clients and their topics. Does not belong here: passwords, and the files of the
brokers (`pollux.runtime.broker_access`).
"""

from paho.mqtt.client import topic_matches_sub

from pollux.runtime.broker_access import BrokerClient, certificates_of, passwords_of
from pollux.runtime.settings import Settings
from services.events.broker.connection import Login
from services.events.broker.session import PROOF_TOPIC
from services.events.settings import EventSettingsError, MqttSettings

SERVICE, APP = "service", "app"
OWN = "whether the broker at POLLUX_BROKER_PORT is the one of this data folder"


def broker_clients(settings: Settings, mqtt: MqttSettings) -> list[BrokerClient]:
    """All clients; every one may read what is released.

    Raises `EventSettingsError` where the topics of answers cannot be told from others.
    """
    visits = [mqtt.entry_event_topic_name, mqtt.focus_event_topic_name]
    people = [mqtt.loyalty_list_topic_name, mqtt.conversion_topic_name]
    codes = [mqtt.promo_code_topic_name, mqtt.promo_code_line_topic_name]
    purchases, segments = mqtt.purchase_topic_name, mqtt.segment_changed_topic_name
    offers = mqtt.coupon_prediction_topic_name
    answers = [f"{offers}/#" if settings.answer_topic_per_customer else offers]
    if settings.answer_response_topics:
        answers.append(f"{settings.answer_response_topics}#")
        if not settings.answer_response_topics.endswith("/"):
            raise EventSettingsError(
                "POLLUX_ANSWER_RESPONSE_TOPICS must end with / at the broker that pollux up runs: "
                "its rules name whole levels of a topic."
            )
    events = [*visits, *people, purchases]
    releases, proof = f"{mqtt.release_topic_name}/#", f"{PROOF_TOPIC}/#"
    for wide in (*answers, releases):
        for topic in (*events, *codes, segments):
            if topic_matches_sub(wide, topic):
                raise EventSettingsError(
                    f"Whoever may read {wide} at the broker that pollux up runs could read "
                    f"{topic}, too: keep their topics apart."
                )
    return [
        BrokerClient(SERVICE, [*answers, *codes, segments, releases, proof], [*events, proof]),
        BrokerClient("sensor", visits, [releases]),
        BrokerClient(APP, visits, [*answers, releases]),
        BrokerClient("screen", [], [*answers, releases]),
        BrokerClient("club", people, [releases]),
        BrokerClient("till", [purchases], [releases]),
        BrokerClient("mailer", [], [*codes, releases]),
        BrokerClient("crm", [], [segments, releases]),
    ]


def login_of(settings: Settings, mqtt: MqttSettings, client: str, client_id: str) -> Login:
    """How to log in as the settings say, and where they say nothing of the own broker, as `client`.

    Raises `BrokerAccessError` where the own broker's passwords cannot be read.
    """
    certificates = mqtt.mqtt_broker_cert_file
    if mqtt.mqtt_host is None and certificates is None:
        made = certificates_of(settings)
        certificates = None if made is None else str(made.authority)
    if mqtt.mqtt_host is None and mqtt.mqtt_username is None:
        own = passwords_of(settings, [client])[client]
        return Login(client_id, client, own, certificates, source=OWN)
    secret = mqtt.mqtt_password
    password = None if secret is None else secret.get_secret_value()
    return Login(client_id, mqtt.mqtt_username, password, certificates)
