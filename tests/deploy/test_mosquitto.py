"""The broker of compose.yaml, its users and what each may do, on a real Mosquitto."""

import os
import shutil
from collections.abc import Iterator

import pytest

from pollux.runtime.broker import HOST, MORE_FOLDERS, answers, find_mosquitto
from tests.support.brokers import (
    Inbox,
    LoginRefusedError,
    connected,
    publish,
    subscribe,
    write_deployed_rules,
)
from tests.support.programs import free_port, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_mosquitto() is None or shutil.which("mosquitto_passwd") is None,
        reason="needs Mosquitto and mosquitto_passwd",
    ),
]
EVENTS = {"entry", "focus", "loyalty-list", "conversion"}
ANSWERS = {"coupon-prediction", "promo-code", "promo-code-line", "releases/store"}
# By user: what it may read, what it may publish to.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "pollux": (EVENTS | ANSWERS, EVENTS | ANSWERS),
    "sensors": (set(), EVENTS),
    "readers": (ANSWERS, set()),
}
PASSWORDS = {"pollux": "mqtt", "sensors": "sensors", "readers": "readers"}
VARIABLES = {f"{password.upper()}_PASSWORD": password for password in PASSWORDS.values()}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker with the files of compose.yaml, but for their places."""
    folder = tmp_path_factory.mktemp("mosquitto")
    folder.chmod(0o755)
    port = free_port()
    start = write_deployed_rules(folder, f"{port} {HOST}")
    path = os.pathsep.join([os.environ["PATH"], *MORE_FOLDERS])
    with running(
        ["/bin/sh", start],
        lambda: answers(HOST, port),
        log=folder / "log",
        env={"PATH": path} | VARIABLES,
    ):
        yield port


def log_in(port: int, user: str, client_id: str):
    return connected(port, client_id, topic="pollux/#", login=(user, PASSWORDS[user]))


def topics_of(inbox: Inbox, payload: bytes) -> set[str]:
    return {topic.removeprefix("pollux/") for topic, one in inbox.messages if one == payload}


@pytest.mark.parametrize("user", ALLOWED)
def test_each_user_may_do_only_its_own(port: int, user: str) -> None:
    reads, writes = ALLOWED[user]
    told, own, end = (f"{word} {user}".encode() for word in ("to", "by", "end of"))
    with (
        log_in(port, "pollux", "the service") as (service, everything),
        log_in(port, user, user) as (client, heard),
    ):
        for topic in EVENTS | ANSWERS:
            publish(service, f"pollux/{topic}", told)
        # The broker's answer comes after all that it had for the user.
        subscribe(client, ["pollux/#"])
        assert topics_of(heard, told) == reads
        for topic in EVENTS | ANSWERS:
            publish(client, f"pollux/{topic}", own)
        publish(service, "pollux/entry", end)
        everything.wait_for(end)
        assert topics_of(everything, own) == writes


@pytest.mark.parametrize("user", ["pollux", "nobody"])
def test_nobody_comes_in_without_the_password(port: int, user: str) -> None:
    with (
        pytest.raises(LoginRefusedError, match="Not authorized"),
        connected(port, user, login=(user, "wrong")),
    ):
        pass
