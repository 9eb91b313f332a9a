"""The broker of compose.yaml, its users and what each may do, on a real Mosquitto."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from pollux.runtime.broker import HOST, MORE_FOLDERS, find_mosquitto
from tests.conftest import PROJECT_DIR
from tests.support.brokers import free_port

PROGRAMS = ("mosquitto_pub", "mosquitto_sub", "mosquitto_passwd")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_mosquitto() is None or not all(map(shutil.which, PROGRAMS)),
        reason="needs Mosquitto and its clients",
    ),
]
TOPICS = {"entry", "focus", "loyalty-list", "conversion"} | {
    *("coupon-prediction", "promo-code", "promo-code-line", "releases/store")
}
USERS = {f"{name.upper()}_PASSWORD": name for name in ("mqtt", "sensors", "readers")}
PASSWORDS = {"pollux": "mqtt", "sensors": "sensors", "readers": "readers"}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker with the files of compose.yaml, but for their places."""
    folder = tmp_path_factory.mktemp("mosquitto")
    folder.chmod(0o755)
    port = free_port()
    for name in ("start.sh", "mosquitto.conf", "acl"):
        text = (PROJECT_DIR / "deploy" / "mosquitto" / name).read_text()
        text = text.replace("/mosquitto/config", str(folder)).replace(
            "/mosquitto/data", str(folder)
        )
        text = text.replace("/tmp/passwords", f"{folder}/passwords")
        text = text.replace("listener 1883", f"listener {port} {HOST}")
        if name == "mosquitto.conf" and os.geteuid() == 0:
            text += "user root\n"
        if name == "start.sh":
            text = "".join(line for line in text.splitlines(True) if not line.startswith("chown"))
        (folder / name).write_text(text)
    path = os.pathsep.join([os.environ["PATH"], *MORE_FOLDERS])
    with subprocess.Popen(
        ["/bin/sh", folder / "start.sh"], env={"PATH": path} | USERS, stdout=subprocess.DEVNULL
    ) as broker:
        deadline = time.monotonic() + 20
        while not may_write(port, "pollux", "entry"):
            assert broker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
        broker.terminate()


def client(
    program: str, port: int, user: str, *arguments: str, password: str | None = None
) -> subprocess.CompletedProcess[str]:
    login = ["-u", user, "-P", password or PASSWORDS[user]]
    return subprocess.run(
        [program, "-V", "5", "-h", HOST, "-p", str(port), "-q", "1", *login, *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


def may_write(port: int, user: str, topic: str) -> bool:
    """Whether the broker takes a message, which it keeps for who comes to read."""
    done = client("mosquitto_pub", port, user, "-t", f"pollux/{topic}", "-m", "{}", "-r")
    return done.returncode == 0 and not done.stderr


@pytest.mark.parametrize(
    ("user", "reads", "writes"),
    [
        ("pollux", TOPICS, TOPICS),
        ("sensors", set(), {"entry", "focus", "loyalty-list", "conversion"}),
        (
            "readers",
            {"coupon-prediction", "promo-code", "promo-code-line", "releases/store"},
            set(),
        ),
    ],
)
def test_each_user_may_do_only_its_own(
    port: int, user: str, reads: set[str], writes: set[str]
) -> None:
    assert {one for one in TOPICS if may_write(port, user, one)} == writes
    assert all(may_write(port, "pollux", topic) for topic in TOPICS)
    # To whom a message may not go, the broker does not say so.
    heard = client("mosquitto_sub", port, user, "-t", "pollux/#", "-v", "-W", "1").stdout
    assert {line.split()[0].removeprefix("pollux/") for line in heard.splitlines()} == reads


def test_nobody_comes_in_without_the_password(port: int) -> None:
    for user in ("pollux", "nobody"):
        done = client("mosquitto_sub", port, user, "-t", "pollux/#", "-E", password="wrong")
        assert "not authori" in done.stderr.lower()
