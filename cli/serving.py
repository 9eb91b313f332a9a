"""What `pollux up` keeps running: broker, scorer, event service, API, Dagster.

Belongs here: in which order, where each listens, when it is ready. Does not belong here: processes
as such (`cli.processes`).
"""

import hashlib
import json
import secrets
import time
from http import HTTPStatus

from cli import output
from cli.processes import Children, ask
from cli.supervisor import DAGSTER_HOST
from pollux.runtime.broker import AMQTT, EmbeddedBroker
from pollux.runtime.broker import HOST as BROKER_HOST
from pollux.runtime.settings import Settings

API, SCORER, EVENTS, BROKER, DAGSTER = "API", "scorer", "events", "broker", "Dagster"
DAGSTER_STOP_SECONDS = 45
# How long the event service has to find broker, database and scorer before that is said.
EVENTS_SECONDS = 10
POLL_SECONDS = 0.1


def check_ports(settings: Settings) -> None:
    """Raises `PortError`, naming the process, where a port is taken."""
    from services.common.port import PortError, check_port_is_free

    runs_broker = has_own_broker()
    check_port_is_free(settings.api_host, settings.api_port)
    check_port_is_free(settings.api_host, settings.scoring_port, setting="POLLUX_SCORING_PORT")
    check_port_is_free(settings.api_host, settings.events_port, setting="POLLUX_EVENTS_PORT")
    check_port_is_free(DAGSTER_HOST, settings.dagster_port, setting="POLLUX_DAGSTER_PORT")
    if runs_broker:
        try:
            check_port_is_free(BROKER_HOST, settings.broker_port, setting="POLLUX_BROKER_PORT")
        except PortError as error:
            # Debian starts Mosquitto when it is installed.
            raise PortError(
                f"{error} If that is a broker that Pollux may use, name it in MQTT_HOST "
                "(docs/events.md)."
            ) from None


def has_own_broker() -> bool:
    """Whether the installation runs a broker: no other is named, and one is wanted."""
    from services.events.settings import read_mqtt_settings

    mqtt = read_mqtt_settings()
    return mqtt.mqtt_host is None and not mqtt.testing_no_mqtt


def describe_broker(settings: Settings) -> str:
    """Where events come from, for people."""
    from services.events.settings import read_mqtt_settings

    mqtt = read_mqtt_settings()
    if mqtt.testing_no_mqtt:
        return f"{url_of(settings, settings.events_port)}/docs (TESTING_NO_MQTT)"
    brokers = ", ".join(f"{host}:{port}" for host, port in mqtt.brokers(settings.broker_port))
    answers = mqtt.coupon_prediction_topic_name
    topics = f"{mqtt.entry_event_topic_name}, {mqtt.focus_event_topic_name}"
    return f"MQTT on {brokers}: {topics}; answers on {answers}"


def start_services(settings: Settings, children: Children) -> None:
    """Starts broker, scorer, event service and API; they answer when this returns."""
    if has_own_broker():
        with output.step("broker") as step:
            broker = EmbeddedBroker(settings)
            children.add(BROKER, broker.start())
            step.result = f"{broker.name} on {BROKER_HOST}:{broker.port}"
        if broker.name == AMQTT:
            output.note(
                "Mosquitto is not installed. amqtt will do to look around: it forgets everything "
                "when it stops, and serves one worker."
            )
    scorer_environment, events_environment = keys_between(settings)
    # All at once: each imports for a second.
    children.run(SCORER, "serve", "scoring", environment=scorer_environment)
    children.run(EVENTS, "serve", "events", environment=events_environment)
    children.run(API, "serve", "api")
    with output.step("scorer") as step:
        url = url_of(settings, settings.scoring_port)
        children.wait_until_answers(SCORER, f"{url}/healthz")
        step.result = f"ready on {url}"
    with output.step("events") as step:
        url = url_of(settings, settings.events_port)
        children.wait_until_answers(EVENTS, f"{url}/healthz")
        problem = problem_of_events(url)
        step.has_failed = problem is not None
        step.result = problem or f"ready on {url}"
    with output.step("api") as step:
        url = url_of(settings, settings.api_port)
        children.wait_until_answers(API, f"{url}/readyz")
        step.result = f"ready on {url}"


def start_dagster(children: Children) -> None:
    """Starts `pollux dagster`; it gets ready while others work already."""
    children.run(DAGSTER, "dagster", patience=DAGSTER_STOP_SECONDS)


def url_of(settings: Settings, port: int) -> str:
    """Where a service is reached from this machine."""
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"http://{host}:{port}"


def problem_of_events(url: str, *, seconds: float = EVENTS_SECONDS) -> str | None:
    """Why events are not answered after so many seconds, None where they are."""
    deadline = time.monotonic() + seconds
    while True:
        status, body = ask(f"{url}/readyz")
        if status == HTTPStatus.OK:
            return None
        if time.monotonic() > deadline:
            try:
                return str(json.loads(body)["detail"])
            except (ValueError, KeyError, TypeError):
                return "The event service is not ready; see events.log in the logs folder."
        time.sleep(POLL_SECONDS)


def keys_between(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """What scorer and event service need in their environment to get on with each other.

    Where the scorer asks for keys and the event service was given none, one is made for this run.
    """
    if not settings.api_keys or settings.scoring_key or settings.scoring_url:
        return {}, {}
    key = secrets.token_urlsafe(32)
    accepted = f"{settings.api_keys},{hashlib.sha256(key.encode()).hexdigest()}"
    return {"POLLUX_API_KEYS": accepted}, {"POLLUX_SCORING_KEY": key}
