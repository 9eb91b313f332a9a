"""A Spark server for tests, and dbt that builds with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from pollux.runtime.spark import check_installed, start_spark, stop_spark
from pollux.runtime.spark_connect import SparkServer
from tests.conftest import PROJECT_DIR

# Tables of a test are small: one task is enough, and what makes queries quick costs more than it
# saves; room for code, classes and new objects is there from the start, not found by collections.
# Clusters of tests are as users have them.
TUNED = " ".join(
    [
        "-XX:TieredStopAtLevel=1",
        "-XX:ReservedCodeCacheSize=240m",
        "-XX:MetaspaceSize=512m",
        "-XX:+UseSerialGC",
        "-XX:InitialRAMPercentage=6",
        "-XX:NewRatio=1",
        "-Dspark.sql.adaptive.enabled=false",
        "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
        "-Dspark.sql.codegen.wholeStage=false",
        "-Dspark.sql.shuffle.partitions=1",
        "-Dspark.ui.enabled=false",
    ]
)
# One thread waits for Spark's answer while another compiles.
THREADS = "3"


def require_spark() -> None:
    """Skips a test where no Spark can be started, and says what brings it."""
    try:
        check_installed()
    except PolluxError as error:
        pytest.skip(f"no Spark: {error}")


@contextmanager
def small_server(folder: Path) -> Iterator[SparkServer]:
    """A server for small tables, which ends with the block."""
    settings = Settings(data_dir=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", TUNED)
        server = start_spark(settings)
    try:
        yield server
    finally:
        stop_spark(settings)


def run_dbt_on_spark(
    server: SparkServer,
    artifacts: Path,
    *arguments: str,
    project: Path = PROJECT_DIR,
    **environment: str,
) -> "subprocess.CompletedProcess[str]":
    """Runs a dbt command with its artifacts and its lake in a folder."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "dbt.cli.main", "--no-use-colors"),
            *(*arguments, "--threads", THREADS),
        ],
        cwd=project,
        env=os.environ
        | server.environment()
        | {
            "DBT_PROFILES_DIR": str(project / "profiles"),
            "DBT_TARGET_PATH": str(artifacts),
            "DBT_LOG_PATH": str(artifacts),
            "POLLUX_LAKE_URL": str(artifacts / "lake"),
        }
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
