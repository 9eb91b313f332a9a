"""Bearer keys: which a running service accepts.

Belongs here: the keys of the file and of settings, and what is refused. Does not belong here: the
file of keys (`pollux.runtime.keys`), the check of requests (`services.common.require_key`), and how
often is too often (`services.common.key_limits`).
"""

import hashlib
import ipaddress
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pollux.runtime.errors import PolluxError
from pollux.runtime.keys import (
    KeyScope,
    KeysFileError,
    StoredKey,
    keys_file,
    note_use,
    read_keys,
)
from pollux.runtime.settings import Settings
from services.common import key_problems
from services.common.key_limits import KeyLimits, Refusals
from services.common.problems import ProblemError

HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
SHOWN_DIGITS = 8
# A change of the keys is seen within a second.
LOOK_SECONDS = 0.25
NOTE_SECONDS = 10.0

HOW_TO = (
    "pollux keys add NAME --scope SCOPE makes one. Or make a key for all scopes and its hash with\n"
    '  key=$(openssl rand -hex 32); echo "$key"; printf %s "$key" | sha256sum | cut -d \' \' -f 1\n'
    "and set POLLUX_API_KEYS to the hash (several: comma-separated)."
)

log = logging.getLogger("pollux.services")


class ApiKeysError(PolluxError):
    """The service may not start with these settings."""

    exit_code = 2


@dataclass(slots=True)
class Key:
    """A key that is accepted: its name, scopes, end (seconds since 1970) and limit."""

    name: str
    scopes: frozenset[KeyScope]
    refusals: Refusals
    expires_at: float = float("inf")
    per_minute: int | None = None
    # When its last use was written; never where it is not.
    noted_at: float = float("-inf")

    def may_be_kept(self) -> bool:
        """Whether what is true of it stays so until the next look."""
        return self.per_minute is None and self.expires_at > time.time() + 2 * LOOK_SECONDS


class Refused(NamedTuple):
    """A problem instead of a key, and how long to wait before it is said, seconds."""

    problem: ProblemError
    wait: float = 0


class ApiKeys:
    """The keys that a service accepts: those of the file, which may change, and of settings.

    Once there are any, they are required as long as the process runs: a file that is removed closes
    the service, it does not open it. While the file cannot be read, the keys stay as they were.
    `on_refusal` is told why each key is refused. Raises `KeysFileError` or `ApiKeysError`.
    """

    def __init__(
        self,
        settings: Settings,
        on_refusal: Callable[[str], None],
        *,
        takes_scoring_key: bool = False,
    ) -> None:
        self._refusals = Refusals(on_refusal)
        self._limits = KeyLimits()
        self._file = keys_file(settings)
        self._fixed: dict[bytes, Key] = {}
        if takes_scoring_key and settings.scoring_key is not None:
            digest = hashlib.sha256(settings.scoring_key.get_secret_value().encode()).digest()
            self._fixed[digest] = self._of_setting("scoring", frozenset({KeyScope.SCORE}))
        hashes = read_hashes(settings)
        for one in hashes:
            name = one.hex()[:SHOWN_DIGITS]
            self._fixed[one] = self._of_setting(name, frozenset(KeyScope))
        self.are_required = bool(hashes)
        self._known = self._fixed
        self._seen: tuple[int, ...] | None = None
        self.look_again_at = 0.0
        self._trouble = ""
        # Headers that were accepted since the last look: hashing each again is most of the check.
        self.lately: dict[bytes, Key] = {}
        self._read()

    def look(self) -> None:
        """Reads the file where it changed; to be called from `look_again_at` on."""
        self.look_again_at = time.monotonic() + LOOK_SECONDS
        self.lately = {}
        try:
            self._read()
            self._trouble = ""
        except KeysFileError as error:
            if str(error) != self._trouble:
                log.error("%s The keys stay as they were.", error)  # noqa: TRY400
                self._trouble = str(error)

    def find(self, sent: bytes, address: str) -> Key | Refused:
        """The key that was sent, or why it is refused."""
        # Whoever measures how long the look-up takes learns of the hash, which leads to no key.
        key = self._known.get(hashlib.sha256(sent).digest())
        now = time.time()
        if key is None:
            wait = self._refusals.of_unknown(address)
            return Refused(key_problems.unauthorized(), wait)
        if key.expires_at <= now:
            wait = self._refusals.of_expired(address, key.name)
            return Refused(key_problems.expired(), wait)
        if key.per_minute is not None and (
            seconds := self._limits.seconds_to_wait(key.name, key.per_minute)
        ):
            self._refusals.of_limit(key.name, key.per_minute)
            return Refused(key_problems.too_many_requests(key.per_minute, seconds))
        if now - key.noted_at > NOTE_SECONDS:
            key.noted_at = now
            self._note(key.name)
        return key

    def _read(self) -> None:
        seen = _signature(self._file)
        if seen == self._seen:
            return
        stored = read_keys(self._file)
        self._seen = seen
        if stored is None:
            self._known = self._fixed
            return
        self.are_required = True
        found: dict[bytes, Key] = {}
        for one in stored:
            found |= self._of_file(one)
        # The settings' keys have all scopes.
        self._known = found | self._fixed

    def _of_file(self, stored: StoredKey) -> dict[bytes, Key]:
        ends = float("inf") if stored.expires_at is None else stored.expires_at.timestamp()

        def key(until: float) -> Key:
            return Key(
                stored.name,
                stored.scopes,
                self._refusals,
                expires_at=until,
                per_minute=stored.per_minute,
            )

        found = {bytes.fromhex(stored.sha256): key(ends)}
        if (earlier := stored.earlier) is not None:
            found[bytes.fromhex(earlier.sha256)] = key(min(ends, earlier.until.timestamp()))
        return found

    def _of_setting(self, name: str, scopes: frozenset[KeyScope]) -> Key:
        # Names in the file have no colon. Nothing is written of their use.
        return Key(f"setting:{name}", scopes, self._refusals, noted_at=float("inf"))

    def _note(self, name: str) -> None:
        try:
            note_use(self._file, name)
        except OSError as error:
            log.warning("When the key %s was used cannot be noted: %s.", name, error.strerror)


def check_address(settings: Settings, host: str, setting: str) -> None:
    """Raises `ApiKeysError` where a service would be open to other machines without any key."""
    if not _is_loopback(host) and not read_hashes(settings) and not keys_file(settings).exists():
        raise ApiKeysError(
            f"The service would listen on {host}, for anyone who reaches this machine, without any "
            f"key. Set {setting} to 127.0.0.1, or require keys. {HOW_TO}"
        )


def read_hashes(settings: Settings) -> list[bytes]:
    """The digests of the keys that POLLUX_API_KEYS accepts; raises `ApiKeysError`."""
    texts = [text.strip().lower() for text in settings.api_keys.split(",")]
    texts = [text for text in texts if text]
    for place, text in enumerate(texts, start=1):
        if not HASH.fullmatch(text):
            raise ApiKeysError(
                f"Key {place} of POLLUX_API_KEYS is not a SHA-256 hash (64 hexadecimal digits). "
                f"It takes the hashes of keys, not the keys. {HOW_TO}"
            )
    return [bytes.fromhex(text) for text in texts]


def _signature(file: Path) -> tuple[int, ...]:
    """What differs between editions of a file; empty where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeysFileError(f"The keys in {file} cannot be read: {error.strerror}.") from None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
