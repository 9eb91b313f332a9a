"""How often a key may ask, and how often wrong keys are answered and logged.

Counts are kept in memory, so each process of a service has its own.
"""

import logging
import math
import time
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

SECONDS = 60
# The first wrong key of an address waits so long for its answer, each further one twice as long.
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
# Of one address, or of one key: more lines would fill the disk of whoever is attacked.
LOGGED_PER_MINUTE = 10

log = logging.getLogger("pollux.services")


class KeyLimits:
    """Counts the requests of keys that have a limit."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def seconds_to_wait(self, name: str, per_minute: int) -> int:
        """Counts a request; 0 where it may go on, else when to ask again."""
        limit = RateLimitItemPerMinute(per_minute)
        if self._limiter.hit(limit, name):
            return 0
        again_at = self._limiter.get_window_stats(limit, name).reset_time
        return max(1, math.ceil(again_at - time.time()))


class Refusals:
    """Counts and logs keys that are refused; `on_refusal` is told why.

    No key is logged, nor anything made from one that is not known.
    """

    def __init__(self, on_refusal: Callable[[str], None]) -> None:
        self._on_refusal = on_refusal
        self._counts = MemoryStorage()

    def of_unknown(self, address: str) -> float:
        """A key that is not one of ours; how long it waits for its answer, seconds."""
        return self._wait(self._note("unknown", f"from {address}", "it is not known"))

    def of_expired(self, address: str, name: str) -> float:
        """A key that has ended; how long it waits for its answer, seconds."""
        return self._wait(self._note("expired", f"from {address}", f"{name} has expired"))

    def of_scope(self, name: str, scope: str) -> None:
        """A key that lacks a scope."""
        self._note("scope", name, f"it lacks the scope {scope}")

    def of_limit(self, name: str, per_minute: int) -> None:
        """A key that asks too often."""
        self._note("limit", name, f"it may ask {per_minute} times a minute")

    def _wait(self, count: int) -> float:
        return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(count - 1, 30))

    def _note(self, reason: str, whose: str, why: str) -> int:
        self._on_refusal(reason)
        count = self._counts.incr(f"{reason} {whose}", SECONDS)
        if count <= LOGGED_PER_MINUTE:
            last = count == LOGGED_PER_MINUTE
            more = " More within a minute are counted only." if last else ""
            log.warning("Refused a key %s: %s.%s", whose, why, more)
        return count
