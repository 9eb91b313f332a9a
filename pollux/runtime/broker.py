"""The MQTT broker of an installation: Mosquitto where it is installed, else amqtt.

Belongs here: finding, configuring, starting and stopping it on 127.0.0.1. Does not belong here:
topics and messages, nor a broker that the user runs (`MQTT_HOST`).
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from pollux.runtime.broker_access import (
    BrokerClient,
    certificates_of,
    password_lines,
    passwords_of,
    rule_lines,
    write_login_files,
)
from pollux.runtime.errors import PolluxError
from pollux.runtime.privacy import write_private
from pollux.runtime.settings import Settings

HOST = "127.0.0.1"
MOSQUITTO, AMQTT = "mosquitto", "amqtt"
# Debian installs it in folders that only root's PATH has.
MORE_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
START_SECONDS = 20
STOP_SECONDS = 10
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2
SHOWN_LINES = 10

# MQTT 3.1.1, clean session, no client id, no user: any broker answers it, if only with a refusal.
CONNECT = bytes.fromhex("100c 0004 4d515454 04 02 003c 0000")
CONNACK, CONNACK_LENGTH = bytes.fromhex("2002"), 4

# Everything is written once a second, changed or not, while the broker has time: a killed broker
# loses at most its last second. docs/events.md gives the cost.
MOSQUITTO_CONFIGURATION = """\
# Written at every start; changes are lost.
listener {port} {host}
{encryption}allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/rules
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
    """The broker that belongs to a data folder; only `clients` may log in.

    With `POLLUX_BROKER_TLS`, connections are encrypted.
    """

    def __init__(
        self, settings: Settings, clients: Sequence[BrokerClient], *, program: str | None = None
    ) -> None:
        self.port = settings.broker_port
        self.log = settings.logs_dir / "broker.log"
        self._settings = settings
        self._clients = clients
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
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(errors="replace").splitlines()
                tail = "\n".join(lines[-SHOWN_LINES:])
                raise BrokerError(f"The broker ({self.name}) did not come up:\n{tail}")
            time.sleep(POLL_SECONDS)

    def answers(self) -> bool:
        """Whether a broker answers at its port."""
        certificates = certificates_of(self._settings)
        return answers(HOST, self.port, None if certificates is None else certificates.authority)

    def command(self) -> list[str]:
        """The command that starts the broker; writes its configuration and who may log in."""
        passwords = passwords_of(self._settings, [client.name for client in self._clients])
        write_login_files(self._settings, passwords)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._mosquitto is None:
            configuration = self._folder / "amqtt.json"
            content = json.dumps(self._amqtt_configuration(passwords))
            write_private(configuration, content.encode())
            return [sys.executable, "-m", "pollux.runtime.broker_amqtt", str(configuration)]
        write_private(self._folder / "passwords", password_lines(passwords).encode())
        write_private(self._folder / "rules", rule_lines(self._clients).encode())
        configuration = _configuration_of(self._settings)
        write_private(configuration, self._mosquitto_configuration().encode())
        return [self._mosquitto, "-c", str(configuration)]

    def _mosquitto_configuration(self) -> str:
        certificates = certificates_of(self._settings)
        encryption = (
            ""
            if certificates is None
            else f"certfile {certificates.server}\nkeyfile {certificates.key}\n"
        )
        return MOSQUITTO_CONFIGURATION.format(
            host=HOST,
            port=self.port,
            encryption=encryption,
            folder=self._folder,
            # Started by root, it would switch to a user who may not write here; for any other user
            # it ignores this setting.
            user="root" if os.geteuid() == 0 else "mosquitto",
        )

    def _amqtt_configuration(self, passwords: Mapping[str, str]) -> dict[str, object]:
        certificates = certificates_of(self._settings)
        files = (
            {}
            if certificates is None
            else {
                "certfile": str(certificates.server),
                "keyfile": str(certificates.key),
                "ssl": True,
            }
        )
        return {
            "listener": {"type": "tcp", "bind": f"{HOST}:{self.port}", **files},
            "clients": [
                {**client._asdict(), "password": passwords[client.name]} for client in self._clients
            ],
        }


def is_running(settings: Settings) -> bool:
    """Whether the installation's Mosquitto runs, started by whomever."""
    configuration = str(_configuration_of(settings))
    running = psutil.process_iter(["cmdline"])
    return any(configuration in (process.info["cmdline"] or ()) for process in running)


def _configuration_of(settings: Settings) -> Path:
    return settings.data_dir / "broker" / "mosquitto.conf"


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


def answers(host: str, port: int, authority: Path | None = None) -> bool:
    """Whether an MQTT broker answers; encrypted where `authority` names what signed for it."""
    try:
        with ExitStack() as stack:
            connection: socket.socket = stack.enter_context(
                socket.create_connection((host, port), timeout=ANSWER_SECONDS)
            )
            if authority is not None:
                context = ssl.create_default_context(cafile=authority)
                encrypted = context.wrap_socket(connection, server_hostname=host)
                connection = stack.enter_context(encrypted)
            connection.sendall(CONNECT)
            answer = connection.recv(CONNACK_LENGTH)
            return len(answer) == CONNACK_LENGTH and answer.startswith(CONNACK)
    except OSError:
        return False
