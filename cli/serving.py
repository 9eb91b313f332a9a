"""The services of `pollux up`: broker, scorer, event service, live rows, API, dashboard.

Belongs here: the order of their start, where each listens, when it is ready. Does not belong here:
keeping them running (`cli.supervisor`), and Dagster's processes (`cli.dagster`).
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from http import HTTPStatus

from cli import output
from cli.processes import ask, log_of
from cli.supervisor import Service, Supervisor
from pollux.runtime.broker import AMQTT, EmbeddedBroker
from pollux.runtime.broker import HOST as BROKER_HOST
from pollux.runtime.processes import STOP_SECONDS
from pollux.runtime.settings import Settings

API, SCORER, EVENTS, BROKER = "API", "scorer", "events", "broker"
LIVE, DASHBOARD = "live", "dashboard"
# How long the event service may take to reach broker, database and scorer before a note says so.
EVENTS_SECONDS = 10
POLL_SECONDS = 0.1


def check_ports(settings: Settings) -> None:
    """Raises `PortError`, naming the process, if a port is taken."""
    from services.common.port import PortError, check_port_is_free

    runs_broker = has_own_broker()
    check_port_is_free(settings.api_host, settings.api_port)
    check_port_is_free(settings.api_host, settings.scoring_port, setting="POLLUX_SCORING_PORT")
    check_port_is_free(settings.api_host, settings.events_port, setting="POLLUX_EVENTS_PORT")
    check_port_is_free(settings.api_host, settings.live_port, setting="POLLUX_LIVE_PORT")
    check_port_is_free(
        settings.dashboard_host, settings.dashboard_port, setting="POLLUX_DASHBOARD_PORT"
    )
    check_port_is_free(settings.dagster_host, settings.dagster_port, setting="POLLUX_DAGSTER_PORT")
    if runs_broker:
        # Its rules may be refused.
        own_broker(settings)
        try:
            check_port_is_free(BROKER_HOST, settings.broker_port, setting="POLLUX_BROKER_PORT")
        except PortError as error:
            # Debian starts Mosquitto when its package is installed.
            raise PortError(
                f"{error} If that is a broker that Pollux may use, name it in MQTT_HOST "
                "(docs/events.md)."
            ) from None


def has_own_broker() -> bool:
    """Whether the installation runs its own broker: none is named, and MQTT is not turned off."""
    from services.events.settings import read_mqtt_settings

    mqtt = read_mqtt_settings()
    return mqtt.mqtt_host is None and not mqtt.testing_no_mqtt


def own_broker(settings: Settings) -> EmbeddedBroker:
    """The broker that belongs to the installation."""
    from services.events.broker.clients import broker_clients
    from services.events.settings import read_mqtt_settings

    return EmbeddedBroker(settings, broker_clients(settings, read_mqtt_settings()))


def describe_broker(settings: Settings) -> str:
    """Where events come from, in words."""
    from services.events.settings import read_mqtt_settings

    mqtt = read_mqtt_settings()
    if mqtt.testing_no_mqtt:
        return f"{url_of(settings, settings.events_port)}/docs (TESTING_NO_MQTT)"
    brokers = ", ".join(f"{host}:{port}" for host, port in mqtt.brokers(settings.broker_port))
    topics = f"{mqtt.entry_event_topic_name}, {mqtt.focus_event_topic_name}"
    return f"MQTT on {brokers}: {topics}; answers on {mqtt.coupon_prediction_topic_name}"


def services(settings: Settings) -> list[Service]:
    """Broker, scorer, event service, live rows, API and dashboard, in starting order."""
    between = key_between(settings)
    scorer = f"{url_of(settings, settings.scoring_port)}/healthz"
    events = f"{url_of(settings, settings.events_port)}/healthz"
    live = f"{url_of(settings, settings.live_port)}/healthz"
    api = f"{url_of(settings, settings.api_port)}/readyz"
    dashboard = f"{url_of_dashboard(settings)}/healthz"
    found = [
        _service(settings, SCORER, "scoring", scorer, between),
        _service(settings, EVENTS, "events", events, between),
        _service(settings, LIVE, "live", live, {}),
        _service(settings, API, "api", api, {}),
        _service(settings, DASHBOARD, "dashboard", dashboard, {}),
    ]
    if has_own_broker():
        broker = own_broker(settings)
        found.insert(
            0,
            Service(
                name=BROKER,
                command=broker.command(),
                log=broker.log,
                is_ready=broker.answers,
            ),
        )
    return found


def show_services(settings: Settings, supervisor: Supervisor) -> None:
    """Shows for each service when it is ready, or why it is not."""
    if has_own_broker():
        name = own_broker(settings).name
        place = f"{name} on {BROKER_HOST}:{settings.broker_port}"
        _show(supervisor, BROKER, place)
        if name == AMQTT:
            output.note(
                "Mosquitto is not installed. amqtt is enough to look around: it forgets everything "
                "when it stops, and serves one worker."
            )
    _show(supervisor, SCORER, f"ready on {url_of(settings, settings.scoring_port)}")
    events = url_of(settings, settings.events_port)
    _show(supervisor, EVENTS, f"ready on {events}", lambda: problem_of_events(events))
    _show(supervisor, LIVE, f"ready on {url_of(settings, settings.live_port)}")
    _show(supervisor, API, f"ready on {url_of(settings, settings.api_port)}")
    _show(supervisor, DASHBOARD, f"ready on {url_of_dashboard(settings)}")


def _show(
    supervisor: Supervisor,
    name: str,
    ready: str,
    find_problem: Callable[[], str | None] = lambda: None,
) -> None:
    with output.step(name) as step:
        problem = supervisor.wait(name) or find_problem()
        step.has_failed = problem is not None
        step.result = problem or ready


def _service(
    settings: Settings, name: str, command: str, url: str, environment: dict[str, str]
) -> Service:
    return Service(
        name=name,
        command=[sys.executable, "-m", "cli.main", "serve", command],
        log=log_of(settings, name),
        environment=os.environ | environment,
        is_ready=lambda: ask(url)[0] == HTTPStatus.OK,
        stop_seconds=STOP_SECONDS + settings.drain_seconds,
    )


def url_of(settings: Settings, port: int) -> str:
    """The URL of a service from this machine."""
    return _url(settings.api_host, port)


def url_of_dashboard(settings: Settings) -> str:
    """The URL of the dashboard from this machine."""
    return _url(settings.dashboard_host, settings.dashboard_port)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def problem_of_events(url: str, *, seconds: float = EVENTS_SECONDS) -> str | None:
    """Why events are not answered after `seconds`, None if they are."""
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


def key_between(settings: Settings) -> dict[str, str]:
    """The environment variable of scorer and event service that lets one call the other.

    Where no key for the scorer is set, one is made for this run: keys may be required at any time.
    """
    if settings.scoring_key or settings.scoring_url:
        return {}
    return {"POLLUX_SCORING_KEY": secrets.token_urlsafe(32)}
