"""A Spark Connect server for tests, and dbt that builds with it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import PROJECT_DIR

# What brings it where it is missing.
INSTALL = "needs Spark: make spark, and a Java 17 (Debian: openjdk-17-jre-headless)"
START_SECONDS = 120
# Tables of a test are small: two tasks are enough, and compiling a query costs more than it saves.
SETTINGS = {
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
}


def is_installed() -> bool:
    """Whether a server can be started here."""
    return bool(shutil.which("java") and find_spec("pyspark") and find_spec("dbt.adapters.spark"))


@contextmanager
def connect_server(folder: Path) -> Iterator[str]:
    """The address of a server on two cores and 2 GB, which ends with the block."""
    (spark,) = find_spec("pyspark").submodule_search_locations
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = SETTINGS | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [
                *(f"{spark}/bin/spark-submit", "--master", "local[2]", "--driver-memory", "2g"),
                *("--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
                *(word for pair in settings.items() for word in ("--conf", "=".join(pair))),
                *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
                "spark-internal",
            ],
            cwd=folder,
            env=os.environ | {"SPARK_HOME": spark, "SPARK_LOCAL_IP": "127.0.0.1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(server, port, folder / "server.log")
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"Spark did not start: {log.read_text()[-3000:]}")


def run_dbt_on_spark(
    remote: str,
    artifacts: Path,
    *arguments: str,
    project: Path = PROJECT_DIR,
    **environment: str,
) -> "subprocess.CompletedProcess[str]":
    """Runs a dbt command with its artifacts and its lake in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *arguments],
        cwd=project,
        env=os.environ
        | {
            "DBT_PROFILES_DIR": str(project / "profiles"),
            "DBT_TARGET_PATH": str(artifacts),
            "DBT_LOG_PATH": str(artifacts),
            "POLLUX_LAKE_URL": str(artifacts / "lake"),
            "POLLUX_SPARK_REMOTE": remote,
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
