"""Whether the service of this container is up: a program, the health check of the image.

The container's first process says which service that is, so one check is right for all of them.
"""

import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from pollux.runtime.settings import Settings

FIRST_PROCESS = Path("/proc/1/cmdline")
SECONDS = 5


def main() -> None:
    """Ends with 0 where the service answers, or where the command is none that serves."""
    settings = Settings()
    place = place_of(FIRST_PROCESS.read_bytes().decode().split("\0"), settings)
    if place is not None and not answers(*place):
        sys.exit(1)


def place_of(command: Sequence[str], settings: Settings) -> tuple[int, str] | None:
    """Port and path that tell whether the service of a command is up; None if it has none."""
    ports = {
        "api": settings.api_port,
        "scoring": settings.scoring_port,
        "events": settings.events_port,
        "dashboard": settings.dashboard_port,
    }
    match [word for word in command if word]:
        case [*_, "serve", service] if service in ports:
            return ports[service], "/healthz"
        case [*_, "dagster"]:
            return settings.dagster_port, "/server_info"
    return None


def answers(port: int, path: str) -> bool:
    """Whether a service of this machine answers at a path."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
