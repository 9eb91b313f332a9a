"""Builds on a real Spark: served like any other, and what becomes of them when parts of it die."""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from orchestration.build import build
from orchestration.release.publish import release
from orchestration.transform.errors import BuildError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import running_spark, spark_parts, start_spark, stop_spark, use_spark
from services.api.app import create_app
from tests.services.api.support import client_of
from tests.support.installations import Prepared
from tests.support.spark import require_spark

pytestmark = [pytest.mark.integration, pytest.mark.endurance, pytest.mark.spark]

# By then something has been built, and most has not.
NODES_BEFORE_KILL = 8


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    require_spark()


@pytest.fixture(scope="module")
def cluster(prepared: Prepared, short_tmp: Path) -> Iterator[Settings]:
    """An installation with the fan club's files and a cluster of two workers."""
    settings = prepared.land(short_tmp / "cluster", "loyalty", engine="spark")
    settings = settings.model_copy(update={"lake_url": str(short_tmp / "shared" / "lake")})
    start_spark(settings, workers=2)
    yield settings
    stop_spark(settings)


def kill_part(settings: Settings, part: str) -> Callable[[str, int, int], None]:
    """Progress of a build that kills a part of Spark once, in the middle."""
    victim = spark_parts(settings)[part]

    def progress(_node: str, done: int, _total: int) -> None:
        if done == NODES_BEFORE_KILL and victim.is_running():
            victim.send_signal(signal.SIGKILL)

    return progress


def served(settings: Settings, domain: str) -> dict[str, list[str]]:
    """The rows of every mart that is served, as text."""
    with open_serving_store(settings).connect() as connection:
        row = connection.execute(
            "select number from release.current where domain = %s", [domain]
        ).fetchone()
        schema = f"{domain}__r{row[0]}"
        names = connection.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = %s::regnamespace",
            [schema],
        ).fetchall()
        return {name: rows_of(connection, schema, name) for (name,) in names}


def rows_of(connection: psycopg.Connection, schema: str, name: str) -> list[str]:
    # Floats as far as engines agree on them.
    connection.execute("set extra_float_digits = -6")
    rows = connection.execute(f"select t::text from {schema}.{name} as t")
    return sorted(text for (text,) in rows)


def test_a_household_built_by_the_own_server_is_served(prepared: Prepared, short_tmp: Path) -> None:
    settings = prepared.land(short_tmp / "local", "household", engine="spark")
    try:
        build(settings, ["household"]).raise_if_failed()
        server = running_spark(settings)
        assert server is not None
        assert use_spark(settings) == server
        assert release(settings, "household").is_new
        rows = served(settings, "household")
        assert rows == served(prepared.household(), "household")
        assert len(rows) > 10
        with client_of(create_app(settings)) as client:
            summary = client.get("/v1/households/1/summary").json()
        assert summary["household_key"] == 1
    finally:
        stop_spark(settings)


def test_a_cluster_builds_what_one_machine_does(
    cluster: Settings, prepared: Prepared, short_tmp: Path
) -> None:
    one = prepared.land(short_tmp / "one", "loyalty")
    for settings in (one, cluster):
        build(settings, ["loyalty"]).raise_if_failed()
        assert release(settings, "loyalty").is_new
    rows = served(cluster, "loyalty")
    assert len(rows["members"]) > 0
    assert rows == served(one, "loyalty")


@pytest.mark.parametrize("part", ["worker 1", "server", "master"])
def test_a_part_is_killed_in_a_build(cluster: Settings, part: str) -> None:
    use_spark(cluster)
    # It ends right, or says what failed.
    with suppress(BuildError):
        report = build(cluster, ["loyalty"], kill_part(cluster, part))
        assert report.passed == ("loyalty",) or report.message
    assert part not in spark_parts(cluster)
    # Whatever became of it, the next build has all parts again and is right.
    build(cluster, ["loyalty"]).raise_if_failed()
    assert list(spark_parts(cluster)) == ["master", "worker 1", "worker 2", "server"]
    assert release(cluster, "loyalty").is_new
