"""Under which host names an installation answers, by its settings.

A stranger's page can point a name of its own at this machine (DNS rebinding), and the browser then
lets it read what the machine answers. It sends that name, so names are held against a list. An
address is nobody's name: any is allowed, so that health checks by address work.
"""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from pollux.runtime.settings import Settings

HEADER = re.compile(r"(\[[0-9A-Fa-f:.]{1,45}\]|[A-Za-z0-9._-]{1,254})(:[0-9]{1,5})?", re.ASCII)
LOCAL = ("localhost", "*.localhost")
# As long as a name in the DNS may be.
SHOWN_LENGTH = 253
# So many spellings of Host are remembered: clients choose them.
MAX_REMEMBERED = 1_000


class AllowedHosts:
    """The names of an installation: local ones, those of its settings, and any address."""

    def __init__(self, settings: Settings) -> None:
        self.configured = frozenset(settings.allowed_hosts.split(",")) - {""}
        others = {socket.gethostname(), settings.api_host, settings.dashboard_host}
        others |= {_host_of(url) for url in _urls(settings)}
        self._patterns = self.configured | {name.lower() for name in others - {""}} | set(LOCAL)
        self._remembered: set[bytes] = set()

    def allows(self, header: bytes) -> bool:
        """Whether a request with this Host is answered."""
        if header in self._remembered:
            return True
        name = name_of(header)
        if name is None or not (_is_address(name) or _matches(name, self._patterns)):
            return "*" in self.configured
        if len(self._remembered) < MAX_REMEMBERED:
            self._remembered.add(header)
        return True

    def names(self, name: str) -> bool:
        """Whether POLLUX_ALLOWED_HOSTS names it; `*` names none."""
        return _matches(name, self.configured - {"*"})


def name_of(header: bytes) -> str | None:
    """The name or address in a Host header, in lower case without port; None if there is none."""
    found = HEADER.fullmatch(header.decode("latin-1").strip())
    return None if found is None else found[1].lower().removesuffix(".")


def shown(header: bytes) -> str:
    """A Host or Origin, shortened for a message."""
    return header[:SHOWN_LENGTH].decode("latin-1")


def _matches(name: str, patterns: frozenset[str] | set[str]) -> bool:
    if name in patterns:
        return True
    # Of a.b.c: *.b.c and *.c.
    parts = name.split(".")
    return any("*." + ".".join(parts[first:]) in patterns for first in range(1, len(parts)))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _urls(settings: Settings) -> tuple[str | None, ...]:
    return settings.scoring_url, settings.api_url, settings.events_url


def _host_of(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""
