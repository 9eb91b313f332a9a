"""Who may log in at an installation's own broker, and do what there: names, passwords, topics.

Belongs here: making and keeping passwords, and the files that Mosquitto and its clients read. Does
not belong here: which client needs which topics (`services.events.broker.clients`), and the
broker's process (`broker`).

Passwords are in `keys/broker` of the data folder, which a backup holds: after a restore no sensor
needs another one. They are no hashes, since the event service logs in with one.
"""

import hashlib
import json
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from pollux.runtime.errors import PolluxError
from pollux.runtime.privacy import write_private
from pollux.runtime.settings import Settings

PASSWORD_BYTES = 24
LOCK_SECONDS = 10
# Mosquitto's own: PBKDF2 with SHA-512. Few rounds do for passwords that nobody can guess.
ROUNDS, SALT_BYTES = 101, 12


class BrokerAccessError(PolluxError):
    """The passwords of the installation's broker cannot be read."""

    exit_code = 2


class BrokerClient(NamedTuple):
    """Who may log in, and the topics that may be published to and read; `#` as in MQTT."""

    name: str
    publishes: Sequence[str]
    reads: Sequence[str]


class Certificates(NamedTuple):
    """Files (PEM): what clients trust, and the broker's certificate and key."""

    authority: Path
    server: Path
    key: Path


def access_dir(settings: Settings) -> Path:
    """Folder of passwords, certificates and, by client, files for Mosquitto's programs."""
    return settings.keys_dir / "broker"


def passwords_of(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """The passwords by name; what is missing is made and kept. Raises `BrokerAccessError`."""
    file = access_dir(settings) / "passwords.json"
    with _alone(file.parent):
        known = _read(file)
        made = {name: secrets.token_hex(PASSWORD_BYTES) for name in names if name not in known}
        if made:
            known |= made
            write_private(file, json.dumps(known, indent=2).encode() + b"\n")
    return {name: known[name] for name in names}


def certificates_of(settings: Settings) -> Certificates | None:
    """The broker's certificates, made where they are missing; None without encryption."""
    if not settings.broker_tls:
        return None
    folder = access_dir(settings)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    with _alone(folder):
        if not files.authority.exists():
            # It is needed once, and takes its time.
            from pollux.runtime.certificates import make_certificates  # noqa: PLC0415

            make_certificates(files)
    return files


def password_lines(passwords: Mapping[str, str]) -> str:
    """A password file of Mosquitto."""
    lines = []
    for name, password in passwords.items():
        salt = os.urandom(SALT_BYTES)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
        coded = "$".join(b64encode(part).decode() for part in (salt, digest))
        lines.append(f"{name}:$7${ROUNDS}${coded}\n")
    return "".join(lines)


def rule_lines(clients: Sequence[BrokerClient]) -> str:
    """An access control file of Mosquitto: what is not allowed is forbidden."""
    lines = []
    for client in clients:
        lines.append(f"user {client.name}\n")
        lines += [f"topic write {topic}\n" for topic in client.publishes]
        lines += [f"topic read {topic}\n" for topic in client.reads]
    return "".join(lines)


def write_login_files(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Writes what mosquitto_pub and mosquitto_sub read of a client: where to log in, and as whom.

    Programs are pointed to a client's folder by XDG_CONFIG_HOME, so that no password is on a
    command line, which other users of the machine see.
    """
    certificates = certificates_of(settings)
    for name, password in passwords.items():
        lines = [f"-p {settings.broker_port}", f"-u {name}", f"-P {password}"]
        if certificates is not None:
            lines.append(f"--cafile {certificates.authority}")
        folder = access_dir(settings) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for program in ("mosquitto_pub", "mosquitto_sub"):
            write_private(folder / program, "".join(f"{line}\n" for line in lines).encode())


def _read(file: Path) -> dict[str, str]:
    try:
        return TypeAdapter(dict[str, str]).validate_json(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError):
        raise BrokerAccessError(
            f"{file} cannot be read as passwords of the broker. Restore it, or remove it: then "
            "every client gets another password with the next start."
        ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=LOCK_SECONDS, mode=0o600):
            yield
    except Timeout:
        raise BrokerAccessError(
            f"Another command has been writing to {folder} for {LOCK_SECONDS} s."
        ) from None
