"""The keys of an installation: who may ask its services for what.

Belongs here: the file `keys/keys.json` in the data folder, and what changes it. It holds hashes, so
that nobody who reads it can ask anything. Does not belong here: checking requests
(`services.common.require_key`).

A change replaces the file at once, so that a reader sees all of it or nothing. When a key was last
used is the time of an empty file of its name in `keys/used`: services note it without a lock.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock, Timeout
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
)

from pollux.runtime.errors import PolluxError
from pollux.runtime.privacy import write_private
from pollux.runtime.settings import Settings

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
# Scanners of code and logs find a key by its beginning.
PREFIX = "pollux_"
KEY_BYTES = 32
# Each request of a minute is remembered.
MOST_PER_MINUTE = 100_000
LOCK_SECONDS = 10


class KeyScope(StrEnum):
    """What a key may open; each route needs exactly one."""

    HOUSEHOLDS_READ = "households:read"
    ACCOUNTS_READ = "accounts:read"
    STORE_READ = "store:read"
    MEMBERS_READ = "members:read"
    VOUCHERS_SELECT = "vouchers:select"
    OFFERS_DECIDE = "offers:decide"
    PURCHASES_WRITE = "purchases:write"
    SCORE = "score"
    MARTS_READ = "marts:read"
    METRICS = "metrics"
    ADMIN = "admin"


MEANINGS = {
    KeyScope.HOUSEHOLDS_READ: (
        "households, segments, campaigns, commodities, promotion effects, totals of purchases"
    ),
    KeyScope.ACCOUNTS_READ: "a utility's accounts and their services",
    KeyScope.STORE_READ: "the shop's coupons, products and customers, what was offered lately",
    KeyScope.MEMBERS_READ: "the fan club's members and promotions",
    KeyScope.VOUCHERS_SELECT: "the choice of a voucher, and what it rests on",
    KeyScope.OFFERS_DECIDE: "offers decided at once, events without a broker",
    KeyScope.PURCHASES_WRITE: "purchases as they happen",
    KeyScope.SCORE: "the coupon scorer",
    KeyScope.MARTS_READ: "any mart, of every domain, personal data included",
    KeyScope.METRICS: "metrics, and which releases are served",
    KeyScope.ADMIN: "what went wrong in the pipelines, erasing people",
}


class KeysError(PolluxError):
    """The keys cannot be read, or not be changed as asked."""


class KeysFileError(KeysError):
    """The file of the keys cannot be read."""

    exit_code = 2


Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Earlier(_Strict):
    """A key that another one replaced, and that is accepted for a while."""

    sha256: Digest
    until: AwareDatetime


class StoredKey(_Strict):
    """A key by its hash; without `expires_at` it does not end, without `per_minute` all is taken.

    `per_minute` is the number of requests that each service takes within a minute.
    """

    name: Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
    sha256: Digest
    scopes: frozenset[KeyScope] = Field(min_length=1)
    made_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    per_minute: int | None = Field(default=None, ge=1, le=MOST_PER_MINUTE)
    earlier: Earlier | None = None

    @field_serializer("scopes")
    def _in_order(self, scopes: frozenset[KeyScope]) -> list[str]:
        return in_order(scopes)


class StoredKeys(_Strict):
    """What the file holds."""

    format: Literal[1] = 1
    keys: tuple[StoredKey, ...] = ()


def in_order(scopes: Iterable[KeyScope]) -> list[str]:
    """Scopes as they are listed everywhere."""
    return [scope.value for scope in KeyScope if scope in set(scopes)]


def digest_of(key: str) -> str:
    """The hash of a key as the file and POLLUX_API_KEYS have it."""
    return hashlib.sha256(key.encode()).hexdigest()


def keys_file(settings: Settings) -> Path:
    """The file of the keys."""
    return settings.keys_dir / "keys.json"


def read_keys(file: Path) -> tuple[StoredKey, ...] | None:
    """The keys in a file, None if there is none; raises `KeysFileError`."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysFileError(f"The keys in {file} cannot be read: {error.strerror}.") from None
    try:
        return StoredKeys.model_validate_json(text).keys
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise KeysFileError(
            f"{file} is not a file of keys of this version ({what}). Restore it, or remove it and "
            "make the keys anew."
        ) from None


def add_key(
    settings: Settings,
    name: str,
    scopes: Iterable[KeyScope],
    *,
    days: float | None = None,
    per_minute: int | None = None,
    now: datetime | None = None,
) -> str:
    """Adds a key and returns it; only its hash is kept. Raises `KeysError`."""
    made_at = now or datetime.now(UTC)
    if not NAME.fullmatch(name):
        raise KeysError(
            f"{name!r} is no name of a key: it has up to 63 of a to z, 0 to 9, dot, hyphen and "
            "underscore, and begins with a letter or digit."
        )
    key = _new_key()
    made = StoredKey(
        name=name,
        sha256=digest_of(key),
        scopes=frozenset(scopes),
        made_at=made_at,
        expires_at=None if days is None else _after(made_at, days),
        per_minute=per_minute,
    )

    def change(keys: dict[str, StoredKey]) -> None:
        if name in keys:
            raise KeysError(
                f"There is a key {name} already. pollux keys rotate {name} replaces it, pollux "
                f"keys revoke {name} ends it."
            )
        keys[name] = made

    _change(settings, change)
    return key


def rotate_key(
    settings: Settings, name: str, *, overlap_minutes: int = 0, now: datetime | None = None
) -> str:
    """Replaces a key and returns the new one; name, scopes, expiry and limit stay.

    The old one is accepted for `overlap_minutes` more. Raises `KeysError`.
    """
    moment = now or datetime.now(UTC)
    key = _new_key()

    def change(keys: dict[str, StoredKey]) -> None:
        old = _known(keys, name)
        if old.expires_at is not None and old.expires_at <= moment:
            raise KeysError(
                f"The key {name} has expired: revoke it, and add it again with another expiry."
            )
        until = moment + timedelta(minutes=overlap_minutes)
        earlier = Earlier(sha256=old.sha256, until=until) if overlap_minutes else None
        update = {"sha256": digest_of(key), "made_at": moment, "earlier": earlier}
        keys[name] = old.model_copy(update=update)

    _change(settings, change)
    return key


def revoke_key(settings: Settings, name: str) -> None:
    """Ends a key. Raises `KeysError`."""

    def change(keys: dict[str, StoredKey]) -> None:
        del keys[_known(keys, name).name]

    _change(settings, change)
    with suppress(OSError):
        _used_file(keys_file(settings), name).unlink()


def note_use(file: Path, name: str) -> None:
    """Notes that a key of a file is used now; raises `OSError`."""
    used = _used_file(file, name)
    try:
        os.utime(used)
    except FileNotFoundError:
        used.parent.mkdir(mode=0o700, exist_ok=True)
        used.touch(mode=0o600)


def last_used(file: Path, name: str) -> datetime | None:
    """When a key of a file was last used, None if it never was."""
    try:
        return datetime.fromtimestamp(_used_file(file, name).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _used_file(file: Path, name: str) -> Path:
    return file.with_name("used") / name


def _new_key() -> str:
    return PREFIX + secrets.token_hex(KEY_BYTES)


def _after(moment: datetime, days: float) -> datetime:
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        raise KeysError(
            f"A key cannot expire in {days:g} days: no calendar has that day."
        ) from None


def _known(keys: dict[str, StoredKey], name: str) -> StoredKey:
    if name not in keys:
        known = ", ".join(sorted(keys)) or "none"
        raise KeysError(f"There is no key {name}. Known: {known}.")
    return keys[name]


def _change(settings: Settings, change: Callable[[dict[str, StoredKey]], None]) -> None:
    file = keys_file(settings)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(file):
        keys = {key.name: key for key in read_keys(file) or ()}
        change(keys)
        _write(file, StoredKeys(keys=tuple(keys.values())))


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    try:
        with FileLock(file.with_name("lock"), timeout=LOCK_SECONDS, mode=0o600):
            yield
    except Timeout:
        raise KeysError(
            f"Another command has been changing the keys for {LOCK_SECONDS} s."
        ) from None


def _write(file: Path, content: StoredKeys) -> None:
    write_private(file, content.model_dump_json(indent=2).encode() + b"\n")
