"""`pollux doctor`: checks that this machine and installation have what Pollux needs.

Details of what is loaded, built and released are for `pollux status` (`release`).
"""

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated

import typer

from cli import output
from cli.dagster import CODE_SERVER, DAEMON, WEB_PAGE
from cli.processes import Running, ask
from cli.serving import url_of
from pollux.runtime.broker import HOST, find_mosquitto
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import check_installed, running_spark
from pollux.runtime.spark_connect import check_answers

PYTHONS = ((3, 11), (3, 13))
ENOUGH_DISK_GIB = 5


@dataclass(frozen=True)
class Finding:
    """The result of one check; `is_fine` is None if it is only information."""

    subject: str
    is_fine: bool | None
    text: str


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Checks Python, disk, ports, broker, database, Spark, data; says what is wrong."""
    findings = list(_examine(Settings()))
    if as_json:
        output.print_json([asdict(finding) for finding in findings])
    else:
        marks = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[dim]·[/]"}
        for finding in findings:
            output.result_console.print(
                f"{marks[finding.is_fine]} {finding.subject:<9} {finding.text}", soft_wrap=True
            )
    if any(finding.is_fine is False for finding in findings):
        raise typer.Exit(1)


def _examine(settings: Settings) -> Iterator[Finding]:
    checks: dict[str, Callable[[Settings], tuple[bool | None, str]]] = {
        "python": _python,
        "disk": _disk,
        "api": _api,
        "scorer": _scorer,
        "events": _events,
        "live": _live,
        "dashboard": _dashboard,
        "broker": _broker,
        "dagster": _dagster,
        "database": _database,
        "spark": _spark,
        "releases": _releases,
        "webhooks": _webhooks,
        "data": _data,
    }
    for subject, check in checks.items():
        try:
            is_fine, text = check(settings)
        except PolluxError as error:
            is_fine, text = False, str(error)
        yield Finding(subject, is_fine, text)


def _python(_: Settings) -> tuple[bool, str]:
    version = sys.version_info[:2]
    lowest, highest = (".".join(map(str, python)) for python in PYTHONS)
    found = ".".join(map(str, version))
    return PYTHONS[0] <= version <= PYTHONS[1], f"{found}; {lowest} to {highest} will do"


def _disk(settings: Settings) -> tuple[bool, str]:
    folder = next(p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**30
    return free >= ENOUGH_DISK_GIB, f"{free:.0f} GiB free for {settings.data_dir}"


def _api(settings: Settings) -> tuple[bool | None, str]:
    return None, _describe_port(settings.api_host, settings.api_port)


def _scorer(settings: Settings) -> tuple[bool | None, str]:
    return None, _describe_port(settings.api_host, settings.scoring_port)


def _events(settings: Settings) -> tuple[bool | None, str]:
    from cli.serving import problem_of_events

    where = _describe_port(settings.api_host, settings.events_port)
    url = url_of(settings, settings.events_port)
    if ask(f"{url}/healthz")[0] != HTTPStatus.OK:
        return None, f"not running; {where}"
    problem = problem_of_events(url, seconds=0)
    return problem is None, problem or f"running and ready, {where}"


def _live(settings: Settings) -> tuple[bool | None, str]:
    where = _describe_port(settings.api_host, settings.live_port)
    url = url_of(settings, settings.live_port)
    if ask(f"{url}/healthz")[0] != HTTPStatus.OK:
        return None, f"not running; {where}"
    status, body = ask(f"{url}/readyz")
    if status == HTTPStatus.OK:
        return True, f"running and ready, {where}"
    return False, str(json.loads(body)["detail"])


def _dashboard(settings: Settings) -> tuple[bool | None, str]:
    return None, _describe_port(settings.dashboard_host, settings.dashboard_port)


def _broker(settings: Settings) -> tuple[bool | None, str]:
    from cli.serving import has_own_broker, own_broker
    from services.events.settings import read_mqtt_settings

    mqtt = read_mqtt_settings()
    if mqtt.testing_no_mqtt:
        return None, "none: TESTING_NO_MQTT is set"
    if not has_own_broker():
        brokers = mqtt.brokers(settings.broker_port)
        return _reachable(brokers)
    port = settings.broker_port
    program = find_mosquitto() or "amqtt, which forgets everything when it stops (no mosquitto)"
    if own_broker(settings).answers():
        return None, f"{program}; one answers on {HOST}:{port}, of this Pollux if it is up"
    return None, f"{program}; {_describe_port(HOST, port)}"


def _reachable(brokers: Sequence[tuple[str, int]]) -> tuple[bool, str]:
    """Whether something listens at one of the brokers, tried in turn."""
    found: list[str] = []
    for host, port in brokers:
        problem = _connect(host, port)
        if problem is None:
            return True, "; ".join([*found, f"{host}:{port} can be reached"])
        found.append(f"{host}:{port} cannot be reached ({problem})")
    return False, "; ".join(found)


def _dagster(settings: Settings) -> tuple[bool | None, str]:
    where = _describe_port(settings.dagster_host, settings.dagster_port)
    started = Running(settings).started()
    if not {CODE_SERVER, DAEMON, WEB_PAGE} & set(started):
        return None, f"not running; {where}"
    missing = [name for name in (CODE_SERVER, DAEMON, WEB_PAGE) if name not in started]
    if missing:
        return False, f"{', '.join(missing)} ended or is not up yet; see {settings.logs_dir}"
    return True, f"running, {where}"


def _describe_port(host: str, port: int) -> str:
    is_free = _connect(host, port) is not None
    return f"{host}:{port} is {'free' if is_free else 'in use; by this Pollux if it is up'}"


def _connect(host: str, port: int) -> str | None:
    """Why nothing answers at an address, None if something does."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _database(settings: Settings) -> tuple[bool, str]:
    database = open_serving_store(settings)
    with database.connect() as connection:
        row = connection.execute("show server_version").fetchone()
    kind = "your server" if database.embedded is None else "embedded"
    return True, f"PostgreSQL {row[0] if row else '?'}, {kind}"


def _spark(settings: Settings) -> tuple[bool | None, str]:
    if settings.engine != "spark":
        return None, "not used: POLLUX_ENGINE is another"
    if settings.spark_remote is not None:
        check_answers(settings.spark_remote.get_secret_value())
        return True, "the server of POLLUX_SPARK_REMOTE answers"
    found = check_installed()
    server = running_spark(settings)
    state = "a build starts a server" if server is None else f"running: {server.describe()}"
    return True, f"{found}; {state}"


def _releases(settings: Settings) -> tuple[bool | None, str]:
    from orchestration.release.follow import mend_differences

    found = mend_differences(settings, open_serving_store(settings))
    if found["left"]:
        return False, "; ".join(found["left"])
    if found["mended"]:
        return True, "; ".join(f"{difference}: mended" for difference in found["mended"])
    return True, "views and links show what is served"


def _webhooks(settings: Settings) -> tuple[bool | None, str]:
    from pollux.runtime.webhooks import find_undelivered, read_webhooks

    webhooks = read_webhooks(settings)
    if not webhooks:
        return None, "none: POLLUX_RELEASE_WEBHOOKS is not set"
    with open_serving_store(settings).connect(autocommit=True) as connection:
        found = find_undelivered(connection, webhooks)
    if found.since is None:
        return True, "every release was told"
    return False, (
        f"messages waiting: {found.waiting}, given up: {found.given_up}, the first of "
        f"{found.since:%Y-%m-%d %H:%M:%S}; {found.problem or 'not tried yet'}"
    )


def _data(settings: Settings) -> tuple[bool | None, str]:
    from orchestration.status import read_status

    status = read_status(settings)
    if not status.datasets:
        return None, "nothing loaded yet: pollux up makes sample data, pollux load takes yours"
    rows = sum(dataset.rows for dataset in status.datasets)
    served = ", ".join(f"{r.domain} {r.number}" for r in status.releases if r.is_current)
    kind = "sample" if any(dataset.is_sample for dataset in status.datasets) else "your own"
    return None, f"{rows:,} rows loaded ({kind}), served: {served or 'nothing yet'}"
