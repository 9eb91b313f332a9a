"""libpq's environment: what a shell says of another server is not meant for ours.

`PGPORT`, `PGSERVICE`, `PGOPTIONS` and their like fill in whatever a connection does not say, and a
service that is not defined even ends it. So a process of Pollux drops them all when it starts;
the gateway, which lives in somebody else's process, is without them while it connects.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = re.compile(r"PG[A-Z]+|PGCONNECT_TIMEOUT")
_connecting = threading.RLock()


def drop_environment() -> None:
    """Removes libpq's variables from the environment of this process."""
    for name in _variables():
        del os.environ[name]


@contextmanager
def without_environment() -> Iterator[None]:
    """Removes libpq's variables for as long as it lasts, for all threads of this process."""
    with _connecting:
        kept = {name: os.environ.pop(name) for name in _variables()}
        try:
            yield
        finally:
            os.environ.update(kept)


def _variables() -> list[str]:
    return [name for name in os.environ if _VARIABLE.fullmatch(name)]
