"""`pollux up` as a new user has it: from an empty folder to an answer, and down again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pollux.runtime.postgres import EmbeddedPostgres
from tests.conftest import PROJECT_DIR

READY_SECONDS = 300

SUMMARY_KEYS = ["index", "household_key", "age_45_plus", "income_50K_plus", "single_couple_family"]
SUMMARY_KEYS += ["has_kids", "single", "couple", "r_score", "f_score", "m_score", "rfm_score"]
SUMMARY_KEYS += ["rfm_bins", "alcohol", "beverages", "concessions", "dairy", "drug", "garden"]
SUMMARY_KEYS += ["grain_goods", "grocery", "home_family", "junk_food", "kitchen", "meat", "misc"]
SUMMARY_KEYS += ["produce", "seasonal", "total_sales"]


class Installation:
    """A data folder with a port of its own, driven by the command."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe, socket.socket() as other:
            probe.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
            self.dagster_port = other.getsockname()[1]
        self.environment = os.environ | {
            "POLLUX_DATA_DIR": str(data_dir),
            "POLLUX_API_PORT": str(self.port),
            "POLLUX_DAGSTER_PORT": str(self.dagster_port),
        }
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=READY_SECONDS,
            check=False,
        )

    def up(self) -> float:
        """Starts `pollux up`; returns the seconds until it is ready."""
        started = time.monotonic()
        self.process = subprocess.Popen(
            self.command("up"),
            env=self.environment,
            cwd=PROJECT_DIR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while time.monotonic() < started + READY_SECONDS:
            if self.process.poll() is not None:
                pytest.fail(f"pollux up ended: {self.process.stdout.read()}")
            try:
                self.get("/readyz")
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return time.monotonic() - started
        pytest.fail("pollux up was not ready in time")

    def get(self, path: str) -> dict[str, object]:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)

    def interrupt(self) -> str:
        """Presses Ctrl-C; returns all that was printed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=60)
        return output

    def processes(self) -> list[str]:
        """What still runs of this installation."""
        home = str(EmbeddedPostgres(self.data_dir).home)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if home in line or str(self.data_dir) in line:
                found.append(line)
            elif "serve api" in line:
                try:
                    if process.environ().get("POLLUX_DATA_DIR") == str(self.data_dir):
                        found.append(line)
                except psutil.Error:
                    continue
        return found


@pytest.fixture(scope="module")
def installation(short_tmp: Path) -> Iterator[Installation]:
    installed = Installation(short_tmp / "up")
    yield installed
    if installed.process is not None and installed.process.poll() is None:
        installed.process.kill()
    installed.run("down")


def test_first_start_answers_with_the_published_document(installation: Installation) -> None:
    installation.up()
    summary = installation.get("/v1/households/1/summary")
    assert list(summary) == SUMMARY_KEYS
    assert summary["household_key"] == 1
    sections = [summary[name] for name in SUMMARY_KEYS[13:-1]]
    assert round(sum(sections), 2) == summary["total_sales"] > 0

    second = installation.run("up")
    assert second.returncode == 1
    assert f"up already for {installation.data_dir} (process {installation.process.pid})" in (
        second.stderr
    )

    output = installation.interrupt()
    assert "Pollux is up" in output
    assert f"http://127.0.0.1:{installation.port}/v1/households/1/summary" in output
    assert "Traceback" not in output
    assert installation.processes() == []


def test_second_start_finds_its_data(installation: Installation) -> None:
    seconds = installation.up()
    assert seconds < 15
    assert installation.get("/v1/households/1/summary")["household_key"] == 1


def test_down_stops_what_up_started(installation: Installation) -> None:
    done = installation.run("down")
    assert done.returncode == 0
    assert "pollux up" in done.stdout
    assert installation.process.wait(timeout=30) is not None
    assert installation.processes() == []
    assert "nothing was running" in installation.run("down").stdout


def test_once_ends_when_released(installation: Installation) -> None:
    done = installation.run("up", "--once")
    assert done.returncode == 0
    assert "Released after" in done.stdout
    # What it found, it does not make again.
    assert "sample" not in done.stderr
    assert installation.processes() == []


def test_port_in_use_says_by_whom(installation: Installation) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", installation.port))
        other.listen()
        done = installation.run("up")
    assert done.returncode != 0
    assert str(installation.port) in done.stderr
    assert str(os.getpid()) in done.stderr


def test_doctor_finds_nothing_wrong(installation: Installation) -> None:
    done = installation.run("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert all(finding["is_fine"] is not False for finding in findings.values())
    assert "household 1" in findings["data"]["text"]


def test_database_runs_on_its_own(installation: Installation) -> None:
    assert installation.run("db", "start").returncode == 0
    assert installation.processes() != []
    variables = installation.run("env").stdout
    assert f"export POLLUX_DATA_DIR={installation.data_dir}" in variables
    assert "export PGHOST=" in variables
    assert installation.run("status").returncode == 0
    assert installation.processes() != []
    assert "stopped" in installation.run("db", "stop").stdout
    assert installation.processes() == []


def test_real_files_replace_the_sample(installation: Installation, realdata: Path) -> None:
    folder = realdata / "complete_journey"
    done = installation.run("load", "--domain", "household", "--from", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert "sample" in done.stderr
    report = json.loads(done.stdout)
    assert sum(file["rows_rejected"] for file in report["files"]) == 0
    done = installation.run("build")
    assert done.returncode == 0, done.stderr
    redemptions = (folder / "coupon_redempt.csv").read_bytes().count(b"\n") - 1
    select = "select sum(redemptions) from campaign_summary"
    done = installation.run("query", select, "--format", "csv")
    assert done.stdout.splitlines()[1] == str(redemptions)
