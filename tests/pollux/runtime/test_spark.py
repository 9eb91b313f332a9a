"""Pollux's own Spark server, found again and missed when it dies; a program stands in for it."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from pollux.runtime import spark, spark_processes
from pollux.runtime.processes import wait_for_end
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.spark import (
    SparkError,
    running_spark,
    spark_parts,
    start_spark,
    stop_spark,
    use_spark,
    watch_spark,
)
from pollux.runtime.spark_connect import QUIET, SESSION, SparkServer, check_answers

# Listens where Spark would, and greets as gRPC does.
STAND_IN = """\
import re, socket, sys
words = sys.argv[1:]
properties = open(words[words.index("--properties-file") + 1]).read()
if "--port" in words:
    port = int(words[words.index("--port") + 1])
elif "--class" in words:
    port = int(re.search(r"binding.port=(\\d+)", properties)[1])
else:
    port = 0
listener = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = listener.accept()
    connection.sendall(bytes.fromhex("000000040000000000"))
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    home = tmp_path / "pyspark"
    (home / "bin").mkdir(parents=True)
    (home / "stand_in.py").write_text(STAND_IN)
    for name in ("spark-submit", "spark-class"):
        program = home / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {home}/stand_in.py "$@"\n')
        program.chmod(0o755)
    monkeypatch.setattr(spark, "_spark_home", lambda: home)
    monkeypatch.setattr(spark, "_require_modules", lambda: None)
    monkeypatch.setattr(spark, "find_java", lambda: ("java", 17))
    settings = Settings(data_dir=tmp_path / "data")
    yield settings
    stop_spark(settings)


def kill(settings: Settings, part: str) -> None:
    process = spark_parts(settings)[part]
    process.send_signal(signal.SIGKILL)
    assert wait_for_end([process], 10)


def test_a_session_has_the_settings_of_dbts() -> None:
    profiles = yaml.safe_load((PROJECT_DIR / "profiles" / "profiles.yml").read_text())
    parameters = profiles["pollux"]["outputs"]["spark"]["server_side_parameters"]
    assert {name: parameters[name] for name in parameters if name != "spark.remote"} == SESSION


def test_the_server_of_one_build_is_that_of_the_next(settings: Settings) -> None:
    first = use_spark(settings)
    (process,) = spark_parts(settings).values()
    assert use_spark(settings) == first == running_spark(settings)
    assert list(spark_parts(settings).values()) == [process]
    assert stop_spark(settings)
    assert wait_for_end([process], 0)
    assert running_spark(settings) is None
    assert not stop_spark(settings)


def test_two_builds_at_once_start_one_server(settings: Settings) -> None:
    found = []
    builds = [threading.Thread(target=lambda: found.append(use_spark(settings))) for _ in "ab"]
    for build in builds:
        build.start()
    for build in builds:
        build.join()
    assert found == [running_spark(settings)] * 2


def test_a_dead_server_is_started_again(settings: Settings) -> None:
    first = use_spark(settings)
    kill(settings, "server")
    assert running_spark(settings) is None
    second = use_spark(settings)
    assert second.token != first.token
    assert running_spark(settings) == second


@pytest.mark.parametrize("part", ["master", "worker 2", "server"])
def test_a_cluster_is_started_again_as_it_was(settings: Settings, part: str) -> None:
    start_spark(settings, workers=2, memory="700m")
    before = spark_parts(settings)
    assert list(before) == ["master", "worker 1", "worker 2", "server"]
    kill(settings, part)
    assert use_spark(settings).workers == 2
    after = spark_parts(settings)
    assert list(after) == list(before)
    assert wait_for_end(before.values(), 0)
    assert "700m" in after["worker 1"].cmdline()
    assert (
        "spark.executor.memory=700m" in (settings.data_dir / "spark/spark.properties").read_text()
    )


def test_a_server_that_was_asked_for_stays_when_up_ends(settings: Settings) -> None:
    start_spark(settings)
    assert not stop_spark(settings, only_unasked=True)
    assert stop_spark(settings)
    use_spark(settings)
    assert stop_spark(settings, only_unasked=True)


def test_a_second_start_is_refused(settings: Settings) -> None:
    start_spark(settings, workers=1)
    with pytest.raises(SparkError, match=r"Spark runs already .* a cluster with 1 workers"):
        start_spark(settings)


def test_a_server_that_ends_at_once_is_shown_with_its_log(settings: Settings) -> None:
    program = spark._spark_home() / "bin" / "spark-submit"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    with pytest.raises(SparkError, match=r"server ended; .*spark-server.log ends with\nno space"):
        use_spark(settings)
    assert spark_parts(settings) == {}
    assert running_spark(settings) is None


def test_parts_of_a_start_that_was_killed_are_ended(settings: Settings) -> None:
    start_spark(settings, workers=1)
    record = spark_processes.read_record(settings)
    record.is_ready = False
    spark_processes.keep_record(settings, record)
    left = spark_parts(settings)
    use_spark(settings)
    assert wait_for_end(left.values(), 0)


def test_others_on_the_machine_cannot_read_the_token(settings: Settings) -> None:
    server = start_spark(settings)
    folder = settings.data_dir / "spark"
    assert folder.stat().st_mode & 0o077 == 0
    (process,) = spark_parts(settings).values()
    assert server.token not in " ".join(process.cmdline())


def serve(answer: bytes) -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        try:
            while True:
                listener.accept()[0].sendall(answer)
        except OSError:
            pass

    threading.Thread(target=greet, daemon=True).start()
    return listener, listener.getsockname()[1]


def test_a_server_of_the_user_is_used_and_never_started(settings: Settings) -> None:
    listener, port = serve(bytes.fromhex("000012040000000000"))
    remote = f"sc://127.0.0.1:{port}"
    own = settings.model_copy(update={"spark_remote": SecretStr(remote)})
    with listener:
        environment = use_spark(own).environment()
    assert environment == {"POLLUX_SPARK_REMOTE": remote, "PYTHONWARNINGS": QUIET}
    with pytest.raises(SparkError, match="does not start that server"):
        start_spark(own)
    assert spark_parts(own) == {}


def test_a_build_is_told_that_its_server_has_ended(settings: Settings) -> None:
    lost = watch_spark(settings, use_spark(settings))
    assert lost() is None
    kill(settings, "server")
    assert "server has ended during the build" in str(lost())


def test_a_server_of_the_user_may_be_away_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, port = serve(bytes.fromhex("000012040000000000"))
    remote = f"sc://127.0.0.1:{port}"
    lost = watch_spark(settings, SparkServer(remote))
    with listener:
        assert lost() is None
        listener.shutdown(socket.SHUT_RDWR)
    assert lost() is None
    monkeypatch.setattr(spark, "LOST_SECONDS", 0)
    assert f"127.0.0.1:{port} of POLLUX_SPARK_REMOTE cannot be reached" in str(lost())


def test_a_server_that_is_away_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SparkError, match=rf"127.0.0.1:{port} .* cannot be reached .*refused"):
        check_answers(f"sc://127.0.0.1:{port}")


def test_another_program_at_the_port_is_told_from_spark() -> None:
    listener, port = serve(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with listener, pytest.raises(SparkError, match="is no Spark Connect server"):
        check_answers(f"sc://127.0.0.1:{port}")


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "MODULES", ("json", "no_such_spark", "no_such.adapter"))
    with pytest.raises(
        SparkError, match=r"needs no_such_spark, no_such.adapter, which make spark installs"
    ):
        spark.check_installed()


@pytest.mark.parametrize(
    "remote", ["http://host:15002", "host:15002", "sc://", "sc://host:port", "sc://host:1/path"]
)
def test_what_is_no_address_of_spark_is_refused(tmp_path: Path, remote: str) -> None:
    with pytest.raises(ValidationError, match="sc://host:15002"):
        Settings(data_dir=tmp_path, spark_remote=remote)


def test_folders_that_spark_shares(tmp_path: Path) -> None:
    lake, landing = tmp_path / "lake", tmp_path / "in"
    settings = Settings(
        data_dir=tmp_path, engine="spark", lake_url=f"file://{lake}", landing_url=str(landing)
    )
    assert (settings.lake_dir, settings.landing_dir) == (lake, landing)
    settings = Settings(data_dir=tmp_path)
    assert (settings.lake_dir, settings.landing_dir) == (tmp_path / "lake", tmp_path / "landing")


def test_what_spark_knows_of_an_object_store(tmp_path: Path) -> None:
    """Pollux works on its own folders; what only Pollux needs to know stays here."""
    query = "?endpoint_override=127.0.0.1:9000&scheme=http"
    settings = Settings(
        data_dir=tmp_path,
        engine="spark",
        lake_url=f"s3a://bucket/lake/{query}",
        landing_url=f"s3a://bucket/landing{query}",
    )
    assert (settings.spark_lake, settings.spark_landing) == (
        "s3a://bucket/lake",
        "s3a://bucket/landing",
    )
    assert (settings.lake_dir, settings.landing_dir) == (tmp_path / "lake", tmp_path / "landing")
    with pytest.raises(ValidationError, match="may not be one inside the other"):
        Settings(
            data_dir=tmp_path, engine="spark", lake_url="s3a://b/x", landing_url="s3a://b/x/y?z=1"
        )


@pytest.mark.parametrize(
    ("name", "value", "engine", "said"),
    [
        ("lake_url", "abfs://bucket/lake", "spark", "abfs:// is not supported: only s3a:// is"),
        ("lake_url", "s3a://bucket", "spark", "with its bucket and a path there"),
        ("lake_url", "s3a://key:secret@bucket/lake", "spark", "keys belong into AWS_ACCESS_KEY_ID"),
        ("lake_url", "s3a://bucket/a lake", "spark", "has only letters"),
        ("landing_url", "s3a://bucket/in", "duckdb", "only POLLUX_ENGINE=spark"),
        ("landing_url", "gs://bucket", "spark", "gs:// is not supported"),
        ("lake_url", "lake", "spark", "must be a whole path"),
        ("landing_url", "/mnt/in", "duckdb", "only POLLUX_ENGINE=spark"),
    ],
)
def test_folders_that_spark_cannot_share_are_refused(
    tmp_path: Path, name: str, value: str, engine: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(data_dir=tmp_path, engine=engine, **{name: value})
