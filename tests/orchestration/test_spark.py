"""Builds on a real Spark: served like any other, and what becomes of them when parts of it die."""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from pydantic import SecretStr

from orchestration import object_store
from orchestration.build import build
from orchestration.release.publish import release
from orchestration.transform.errors import BuildError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import running_spark, spark_parts, start_spark, stop_spark, use_spark
from pollux.runtime.spark_processes import TOKEN_VARIABLE
from services.api.app import create_app
from tests.services.api.support import client_of
from tests.support.installations import Prepared
from tests.support.spark import require_spark

pytestmark = [pytest.mark.integration, pytest.mark.endurance, pytest.mark.spark]

BUCKET = "bucket"
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", buckets(short_tmp))
        start_spark(settings, workers=2)
    yield settings
    stop_spark(settings)


def buckets(folder: Path) -> str:
    """What makes a server read and write `s3a://bucket/…` in a folder, without the jar for S3."""
    view = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
    links = "".join(
        f" -Dspark.hadoop.fs.viewfs.mounttable.{BUCKET}.link./{name}=file://{folder}/{BUCKET}/{name}"
        for name in ("landing", "lake")
    )
    return f"-Dspark.hadoop.fs.s3a.impl={view}{links}"


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


@pytest.fixture(scope="module")
def by_duckdb(prepared: Prepared, short_tmp: Path) -> dict[str, list[str]]:
    """The fan club's rows, built by DuckDB from the files of the cluster."""
    one = prepared.land(short_tmp / "one", "loyalty")
    build(one, ["loyalty"]).raise_if_failed()
    assert release(one, "loyalty").is_new
    rows = served(one, "loyalty")
    assert len(rows["members"]) > 0
    return rows


def test_a_cluster_builds_what_one_machine_does(
    cluster: Settings, by_duckdb: dict[str, list[str]]
) -> None:
    build(cluster, ["loyalty"]).raise_if_failed()
    assert release(cluster, "loyalty").is_new
    assert served(cluster, "loyalty") == by_duckdb


def test_a_cluster_builds_through_an_object_store(
    cluster: Settings,
    by_duckdb: dict[str, list[str]],
    prepared: Prepared,
    short_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder stands in for the bucket on both sides; S3's protocol has tests of its own."""
    # Like a store, it makes the folders of what is written.
    files = PyFileSystem(FSSpecHandler(LocalFileSystem(auto_mkdir=True)))
    monkeypatch.setattr(
        object_store,
        "_place_of",
        lambda url: object_store._Place(files, url.replace("s3a:/", str(short_tmp))),
    )
    for folder in ("landing", "lake"):
        (short_tmp / BUCKET / folder).mkdir(parents=True)
    server = use_spark(cluster)
    monkeypatch.setenv(TOKEN_VARIABLE, server.token)
    settings = prepared.land(short_tmp / "bucketed", "loyalty", engine="spark").model_copy(
        update={
            "spark_remote": SecretStr(server.remote),
            "landing_url": f"s3a://{BUCKET}/landing",
            "lake_url": f"s3a://{BUCKET}/lake",
        }
    )
    build(settings, ["loyalty"]).raise_if_failed()
    built = {path.name for path in (short_tmp / BUCKET / "lake").iterdir()} - {".pollux"}
    assert {path.name for path in settings.lake_dir.iterdir()} == built
    assert release(settings, "loyalty").is_new
    assert served(settings, "loyalty") == by_duckdb


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
