"""Whether the service of this container is up: a program, the health check of the image.

The container's first process says which service that is, so one check is right for all of them.
"""

import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from cli.processes import ask
from pollux.runtime.settings import Settings

FIRST_PROCESS = Path("/proc/1/cmdline")
SECONDS = 5


def main() -> None:
    """Ends with 0 where the service answers, or where the command is none that serves."""
    settings = Settings()
    url = url_of(FIRST_PROCESS.read_bytes().decode().split("\0"), settings)
    if url is not None and ask(url, seconds=SECONDS)[0] != HTTPStatus.OK:
        sys.exit(1)


def url_of(command: Sequence[str], settings: Settings) -> str | None:
    """The URL that tells whether the service of a command is up; None if it has none."""
    ports = {
        "api": settings.api_port,
        "scoring": settings.scoring_port,
        "events": settings.events_port,
        "live": settings.live_port,
        "dashboard": settings.dashboard_port,
    }
    match [word for word in command if word]:
        case [*_, "serve", service] if service in ports:
            return f"http://127.0.0.1:{ports[service]}/healthz"
        case [*_, "dagster"]:
            return f"http://127.0.0.1:{settings.dagster_port}/server_info"
    return None


if __name__ == "__main__":
    main()
