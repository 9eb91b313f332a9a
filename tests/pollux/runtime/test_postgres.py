"""The embedded server: shared by processes, stopped with the last, closed to others."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from pollux.runtime.postgres import (
    MAX_SOCKET_DIR_LENGTH,
    OWNER,
    EmbeddedPostgres,
    EmbeddedPostgresError,
)
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.clusters import initialise

pytestmark = pytest.mark.integration

USE = (
    "import signal, sys, time; from pathlib import Path; "
    # Who is started in the background is deaf to it.
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from pollux.runtime.postgres import EmbeddedPostgres; "
    "EmbeddedPostgres(Path(sys.argv[1])).use(); print('up', flush=True); time.sleep(300)"
)


def user_process(data_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USE, str(data_dir)],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stops_with_its_last_user(short_tmp: Path) -> None:
    server = EmbeddedPostgres(short_tmp / "shared")
    first, second = user_process(server.data_dir), user_process(server.data_dir)
    first.send_signal(signal.SIGINT)
    first.wait()
    assert server.is_running()
    second.send_signal(signal.SIGINT)
    second.wait()
    wait_until(lambda: not server.is_running())


def test_killed_user_is_no_user(short_tmp: Path) -> None:
    server = EmbeddedPostgres(short_tmp / "killeduser")
    killed = user_process(server.data_dir)
    killed.kill()
    killed.wait()
    assert server.is_running()
    server.use()
    server.leave()
    assert not server.is_running()


def test_kept_until_stopped(short_tmp: Path) -> None:
    server = EmbeddedPostgres(short_tmp / "kept")
    server.keep()
    server.leave()
    assert server.is_running()
    server.use()
    server.leave()
    assert server.is_running()
    assert server.stop()
    assert not server.is_running()
    assert not server.stop()


def test_killed_server_comes_back_with_its_data(short_tmp: Path) -> None:
    settings = Settings(data_dir=short_tmp / "killed")
    store = open_serving_store(settings)
    with store.connect() as connection:
        connection.execute("create table kept as select 1 as x")
    assert store.embedded is not None
    store.embedded.kill()
    assert not store.embedded.is_running()
    with open_serving_store(settings).connect() as connection:
        assert connection.execute("select x from kept").fetchone() == (1,)


def test_socket_is_closed_to_others_and_nothing_listens_on_a_port(short_tmp: Path) -> None:
    server = EmbeddedPostgres(short_tmp / "closed")
    server.use()
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    with psycopg.connect(server.url(user=OWNER, database=OWNER)) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    server.leave()


def test_deep_data_folder_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "data"
    server = EmbeddedPostgres(deep)
    assert len(os.fsencode(server.socket_dir)) <= MAX_SOCKET_DIR_LENGTH
    assert server.home != EmbeddedPostgres(deep / "other").home


def test_interrupted_initialisation_is_made_again(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedPostgres, "_initialise", initialise)
    server = EmbeddedPostgres(short_tmp / "interrupted")
    server.cluster.mkdir(parents=True)
    (server.cluster / "base").mkdir()
    server.use()
    assert server.is_running()
    server.leave()


@pytest.mark.parametrize("version", ["17"])
def test_cluster_of_another_version_is_refused(short_tmp: Path, version: str) -> None:
    server = EmbeddedPostgres(short_tmp / "older")
    server.cluster.mkdir(parents=True)
    (server.cluster / "PG_VERSION").write_text(version)
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17"):
        server.use()
