"""Releases, rollbacks and their database killed at random moments: a whole release is served."""

import sys
import time

import pytest

from orchestration.release.follow import mend_differences
from orchestration.release.publish import release, rollback
from orchestration.release.registry import read_releases
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.orchestration.release.test_release_kills import assert_is_whole, differences, served
from tests.support.builds import build_again
from tests.support.kill_loops import KillLoop
from tests.support.kills import SECONDS, seconds_of, start
from tests.support.receivers import receiving

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

DOMAIN = "household"
REFUSED = 5


def wait_until_alone(settings: Settings) -> None:
    """Returns when the server has noticed the end of every client that was killed."""
    others = "select from pg_stat_activity where backend_type = 'client backend' and pid <> %s"
    deadline = time.monotonic() + SECONDS
    with open_serving_store(settings).connect(autocommit=True) as connection:
        while connection.execute(others, [connection.info.backend_pid]).fetchone():
            assert time.monotonic() < deadline, "a killed client stays"
            time.sleep(0.01)


def test_release_killed_at_random_moments(released: Settings, kill_loop) -> None:
    loop = kill_loop("release")
    with receiving() as receiver:
        told = receiver.settings(released)
        release_and_kill(told, loop)
        deadline = time.monotonic() + SECONDS
        while receiver.received[-1].number != served(released):
            assert time.monotonic() < deadline, "the last release was not told"
            time.sleep(0.01)
        # Every switch was told, in order, however often.
        numbers = list(dict.fromkeys(one.number for one in receiver.received))
    with open_serving_store(released).connect() as connection:
        registered = [row.number for row in read_releases(connection, DOMAIN)]
    assert numbers == sorted(registered)[1:]


def release_and_kill(released: Settings, loop: KillLoop) -> None:
    build_again(released)
    seconds = seconds_of(release, released, DOMAIN)
    for _ in loop.tries():
        before = served(released)
        build_again(released)
        loop.kill_within(seconds, start("", release, released, DOMAIN))
        wait_until_alone(released)
        assert served(released) in (before, before + 1)
        assert_is_whole(released, served(released))
    build_again(released)
    newest = release(released, DOMAIN).number
    assert_is_whole(released, newest)
    assert differences(released) == ()
    # Of the many that were killed nothing is left.
    with open_serving_store(released).connect() as connection:
        kept = [row.number for row in read_releases(connection, DOMAIN)][:3]
        schemas = connection.execute("select nspname from pg_namespace where nspname ~ '__r'")
        assert {name for (name,) in schemas} == {f"{DOMAIN}__r{number}" for number in kept}
    folders = {path.name for path in (released.releases_dir / DOMAIN).iterdir()}
    assert folders == {f"r{number}" for number in kept} | {"current"}


def test_rollback_killed_at_random_moments(released: Settings, kill_loop) -> None:
    loop = kill_loop("rollback")
    build_again(released)
    release(released, DOMAIN)
    seconds = seconds_of(rollback, released, DOMAIN, to=1)
    for _ in loop.tries():
        before = served(released)
        other = 3 - before
        loop.kill_within(seconds, start("", rollback, released, DOMAIN, to=other))
        wait_until_alone(released)
        assert served(released) in (before, other)
        assert_is_whole(released, served(released))
        if loop.rng.random() < 0.3:
            mend_differences(released, open_serving_store(released))
            assert differences(released) == ()
    other = 3 - served(released)
    rollback(released, DOMAIN, to=other)
    assert served(released) == other
    assert differences(released) == ()


def release_or_refuse(settings: Settings) -> None:
    try:
        release(settings, DOMAIN)
    except PolluxError:
        sys.exit(REFUSED)


def rollback_or_refuse(settings: Settings, to: int) -> None:
    try:
        rollback(settings, DOMAIN, to=to)
    except PolluxError:
        sys.exit(REFUSED)


def test_postgres_killed_at_random_moments_of_a_release(released: Settings, kill_loop) -> None:
    loop = kill_loop("PostgreSQL of a release")
    embedded = open_serving_store(released).embedded
    assert embedded is not None
    build_again(released)
    seconds = seconds_of(release, released, DOMAIN)
    for _ in loop.tries():
        before = served(released)
        if before > 1 and loop.rng.random() < 0.3:
            after = before - 1
            work = start("", rollback_or_refuse, released, after)
        else:
            build_again(released)
            after = before + 1
            work = start("", release_or_refuse, released)
        time.sleep(loop.rng.uniform(0, 1.1 * seconds))
        embedded.kill()
        loop.count_kill()
        work.join(SECONDS)
        assert work.exitcode in {0, REFUSED}
        assert served(released) in (before, after)
        assert_is_whole(released, served(released))
        # Numbers go on from the newest, also after a rollback.
        build_again(released)
        release(released, DOMAIN)
        assert differences(released) == ()
    assert_is_whole(released, served(released))
