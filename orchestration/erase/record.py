"""The record of an erasure: what was done and that nothing was found, signed, without the id.

Belongs here: its content, its signature and the key of the installation that signs. A record names
the subject by the salted hash only; whoever has the id can compare.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pollux.runtime.privacy import write_private
from pollux.runtime.settings import Settings

KEY_BYTES = 32
SIGNATURE = "hmac_sha256"


def sign(settings: Settings, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its signature; the caller holds the installation's locks."""
    key = _key(settings)
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(key, secrets.token_bytes(KEY_BYTES))
    return {**record, SIGNATURE: _signature(key.read_bytes(), record)}


def is_genuine(settings: Settings, signed: Mapping[str, Any]) -> bool:
    """Whether this installation signed a record, and nobody changed it since."""
    record = {name: value for name, value in signed.items() if name != SIGNATURE}
    try:
        expected = _signature(_key(settings).read_bytes(), record)
    except FileNotFoundError:
        return False
    return hmac.compare_digest(expected, str(signed.get(SIGNATURE)))


def _signature(key: bytes, record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(settings: Settings) -> Path:
    return settings.keys_dir / "erasures.key"
