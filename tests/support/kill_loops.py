"""Kills at random moments: how many each target gets, their random numbers, what is told of them.

`POLLUX_TEST_KILLS` is the number of kills in one run of all loops. `POLLUX_TEST_SEED` takes the
random numbers of an earlier run.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import pytest

KILLS = int(os.environ.get("POLLUX_TEST_KILLS", "100"))
SEED = os.environ.get("POLLUX_TEST_SEED")
# How many kills each target gets for 100: the dearer one is, the fewer.
SHARES = {
    "load": 26,
    "inbox": 9,
    "build": 0.5,
    "learn": 2,
    "release": 10,
    "rollback": 9,
    "PostgreSQL of a release": 6,
    "supervisor": 14,
    "Dagster run": 0.5,
    "event worker": 12,
    "broker": 5,
    "PostgreSQL of events": 6,
    # Of its updater, its database and its builds.
    "live rows": 20,
}
# A process may end before its kill; if most do, the moments are wrong.
TRIES = 4
PROPERTY = "kill loop"


class KillLoop:
    """A loop that ends after as many kills as its target's share; `rng` is for all its chances."""

    def __init__(self, target: str, told: dict[str, object]) -> None:
        self.count = max(1, round(KILLS * SHARES[target] / 100))
        seed = int(SEED or random.SystemRandom().randrange(10**6))
        self.rng = random.Random(f"{seed} {target}")
        self._slowness = 1.0
        self._told = told
        self._told |= {"target": target, "seed": seed, "kills": 0}

    @property
    def kills(self) -> int:
        """Processes that were killed before their end."""
        return int(str(self._told["kills"]))

    def tries(self) -> Iterator[int]:
        """Numbers from 1, until there were enough kills."""
        number = 0
        while self.kills < self.count:
            number += 1
            assert number <= TRIES * self.count + TRIES, "most processes end before their kill"
            yield number

    def count_kill(self) -> None:
        """Counts a kill."""
        self._told["kills"] = self.kills + 1

    def kill(self, process: BaseProcess) -> bool:
        """Kills a process; returns whether it still ran."""
        process.kill()
        process.join()
        if process.exitcode == 0:
            return False
        assert process.exitcode == -signal.SIGKILL, f"it ended with code {process.exitcode}"
        self.count_kill()
        return True

    def kill_within(self, seconds: float, process: BaseProcess) -> bool:
        """Kills a process after a random time; returns whether it still ran.

        `seconds` is how long it takes alone; the machine's load may make that less or more.
        """
        time.sleep(self.rng.uniform(0, self._slowness * seconds))
        is_killed = self.kill(process)
        # So that about one of six ends before its kill, and every moment has its turn.
        self._slowness *= 1.03 if is_killed else 0.87
        return is_killed


def make_kill_loop(item: pytest.Item, target: str) -> KillLoop:
    """The loop of a test; its numbers go with the test's report, to be shown at the end."""
    told: dict[str, object] = {}
    item.user_properties.append((PROPERTY, told))
    return KillLoop(target, told)


def describe(reports: list[pytest.TestReport]) -> list[str]:
    """A line for every loop of a run."""
    return [
        f"{told['target']}: {told['kills']} kills, {report.outcome}, seed {told['seed']}, "
        f"{report.duration / 60:.1f} min"
        for report in reports
        for name, told in report.user_properties
        if name == PROPERTY and isinstance(told, dict)
    ]
