"""libpq's environment variables: a shell sets them for another server, not for ours.

`PGPORT`, `PGSERVICE`, `PGOPTIONS` and the like fill in whatever a connection leaves out, and an
undefined service makes it fail. So a process of Pollux drops them all when it starts. The
gateway, which runs in the user's own process, hides them only while it connects.
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
