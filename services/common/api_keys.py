"""Bearer keys: reads their hashes from the settings and checks requests against them.

All keys give the same access.
"""

import hashlib
import hmac
import ipaddress
import re
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from services.common import docs_page
from services.common.prefix import path_of
from services.common.problems import ProblemError

HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Where the scope of a request says which key let it in: its hash, shortened.
KEY_IN_SCOPE = "pollux.key"
SHOWN_DIGITS = 8
OPEN_PATHS = docs_page.PATHS | {"/healthz", "/readyz", "/metrics"}

HOW_TO = (
    "Make a key and its hash with\n"
    '  key=$(openssl rand -hex 32); echo "$key"; printf %s "$key" | sha256sum | cut -d \' \' -f 1\n'
    "and set POLLUX_API_KEYS to the hash (several: comma-separated)."
)


class ApiKeysError(PolluxError):
    """The service may not start with these settings."""

    exit_code = 2


def read_key_hashes(settings: Settings) -> list[bytes]:
    """The digests of the keys that the API and the services beside it accept.

    Raises `ApiKeysError` if one is not a SHA-256 hash, or if there are none and the address is not
    a loopback address.
    """
    return check_address(settings, settings.api_host, "POLLUX_API_HOST")


def check_address(settings: Settings, host: str, setting: str) -> list[bytes]:
    """The digests of the accepted keys, for a service that listens on `host`, as `setting` says.

    Raises `ApiKeysError` as `read_key_hashes` does.
    """
    texts = [text.strip().lower() for text in settings.api_keys.split(",")]
    texts = [text for text in texts if text]
    for place, text in enumerate(texts, start=1):
        if not HASH.fullmatch(text):
            raise ApiKeysError(
                f"Key {place} of POLLUX_API_KEYS is not a SHA-256 hash (64 hexadecimal digits). "
                f"It takes the hashes of keys, not the keys. {HOW_TO}"
            )
    if not texts and not _is_loopback(host):
        raise ApiKeysError(
            f"The service would listen on {host}, for anyone who reaches this machine, without any "
            f"key. Set {setting} to 127.0.0.1, or require keys. {HOW_TO}"
        )
    return [bytes.fromhex(text) for text in texts]


class RequireKey:
    """Middleware that lets in requests with an accepted key; without hashes, all requests."""

    def __init__(self, app: ASGIApp, *, hashes: list[bytes]) -> None:
        self.app = app
        self.hashes = hashes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or answers 401."""
        guarded = self.hashes and scope["type"] == "http" and path_of(scope) not in OPEN_PATHS
        if guarded and not self._holds_key(scope):
            await unauthorized().response(scope)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _holds_key(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(sent) != 1:
            return False
        scheme, _, key = sent[0].partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        # Every hash is compared, so that timing reveals nothing.
        found = [hmac.compare_digest(digest, accepted) for accepted in self.hashes]
        if scheme.lower() != b"bearer" or not any(found):
            return False
        scope[KEY_IN_SCOPE] = digest.hex()[:SHOWN_DIGITS]
        return True


def unauthorized() -> ProblemError:
    """The problem of a request without an accepted key."""
    return ProblemError(
        HTTPStatus.UNAUTHORIZED,
        "key-required",
        "Key required",
        "Send a key of this installation as: Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": 'Bearer realm="pollux"'},
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
