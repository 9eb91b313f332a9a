"""The record of an erasure: what was done and that nothing was found, signed, without the id.

Belongs here: its content, its signature and the key of the installation that signs. A record names
the subject by the salted hash only; whoever has the id can compare.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pollux.runtime.settings import Settings

KEY_BYTES = 32
SIGNATURE = "hmac_sha256"


def sign(settings: Settings, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its signature."""
    return {**record, SIGNATURE: _signature(_key(settings), record)}


def is_genuine(settings: Settings, signed: Mapping[str, Any]) -> bool:
    """Whether this installation signed a record, and nobody changed it since."""
    record = {name: value for name, value in signed.items() if name != SIGNATURE}
    expected = _signature(_key(settings), record)
    return hmac.compare_digest(expected, str(signed.get(SIGNATURE)))


def _signature(key: bytes, record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(settings: Settings) -> bytes:
    path = settings.keys_dir / "erasures.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        unfinished = path.with_suffix(f".{secrets.token_hex(4)}.new")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # The first to come makes it.
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)
        unfinished.unlink()
        return path.read_bytes()
