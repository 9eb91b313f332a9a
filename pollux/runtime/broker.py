"""The MQTT broker of an installation: Mosquitto where it is installed, else amqtt.

Belongs here: finding, configuring, starting and stopping it on 127.0.0.1. Does not belong here:
topics and messages, nor a broker that the user runs (`MQTT_HOST`).
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

HOST = "127.0.0.1"
MOSQUITTO, AMQTT = "mosquitto", "amqtt"
# Debian installs it in folders that only root's PATH has.
MORE_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
START_SECONDS = 20
STOP_SECONDS = 10
POLL_SECONDS = 0.05
SHOWN_LINES = 10

# MQTT 3.1.1, clean session, no client id: any broker accepts it.
CONNECT = bytes.fromhex("100c 0004 4d515454 04 02 003c 0000")
DISCONNECT = bytes.fromhex("e000")
ACCEPTED = bytes.fromhex("2002 0000")

# Everything is written once a second, changed or not, while the broker has time: a killed broker
# loses at most its last second. docs/events.md gives the cost.
MOSQUITTO_CONFIGURATION = """\
# Written at every start; changes are lost.
listener {port} {host}
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
max_packet_size 1048576
log_dest stdout
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
"""


class BrokerError(PolluxError):
    """The installation's broker cannot be started."""


class EmbeddedBroker:
    """The broker that belongs to a data folder; any program on this machine may connect to it."""

    def __init__(self, settings: Settings, *, program: str | None = None) -> None:
        self.port = settings.broker_port
        self.log = settings.logs_dir / "broker.log"
        self._folder = settings.data_dir / "broker"
        self._mosquitto = find_mosquitto() if program in {None, MOSQUITTO} else None
        if program == MOSQUITTO and self._mosquitto is None:
            raise BrokerError("Mosquitto is not installed.")

    @property
    def name(self) -> str:
        """The program: `mosquitto` or `amqtt`."""
        return AMQTT if self._mosquitto is None else MOSQUITTO

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the broker and waits until it takes connections.

        Raises `BrokerError`, with the end of the log, where it does not, or for a port in use.
        """
        if not _is_free(self.port):
            raise BrokerError(
                f"Port {self.port} is in use. Choose another for the broker with "
                "POLLUX_BROKER_PORT, or name the broker that has it in MQTT_HOST."
            )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(process)
        except BaseException:
            stop(process)
            raise
        return process

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Runs the broker for the length of the block."""
        process = self.start()
        try:
            yield process
        finally:
            stop(process)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(HOST, self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(errors="replace").splitlines()
                tail = "\n".join(lines[-SHOWN_LINES:])
                raise BrokerError(f"The broker ({self.name}) did not come up:\n{tail}")
            time.sleep(POLL_SECONDS)

    def command(self) -> list[str]:
        """The command that starts the broker; writes its configuration."""
        if self._mosquitto is None:
            return [sys.executable, "-m", "pollux.runtime.broker_amqtt", HOST, str(self.port)]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(
            MOSQUITTO_CONFIGURATION.format(
                host=HOST,
                port=self.port,
                folder=self._folder,
                # Started by root, it would switch to a user who may not write here; for any
                # other user it ignores this setting.
                user="root" if os.geteuid() == 0 else "mosquitto",
            )
        )
        return [self._mosquitto, "-c", str(configuration)]


def find_mosquitto() -> str | None:
    """The path of Mosquitto, None where it is not installed."""
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *MORE_FOLDERS])
    return shutil.which(MOSQUITTO, path=folders)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a broker, which first saves its data; kills it if it does not end in time."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port whose last server just ended is free; one with a listener is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def answers(host: str, port: int, *, seconds: float = 2) -> bool:
    """Whether an MQTT broker without encryption accepts an anonymous client."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.sendall(CONNECT)
            answer = connection.recv(len(ACCEPTED))
            connection.sendall(DISCONNECT)
            return answer == ACCEPTED
    except OSError:
        return False
