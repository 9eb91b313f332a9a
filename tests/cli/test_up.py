"""`pollux up` as a user runs it, to an answer and down again: on the tests' small sample with a
domain to build, and, where minutes do not matter, as a new user does, from an empty folder."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import psutil
import psycopg
import pytest

from cli.commands.up import _show
from cli.processes import Running, ask
from pollux.runtime.broker import HOST, answers, find_mosquitto
from pollux.runtime.broker_access import passwords_of
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.brokers import connected, publish
from tests.support.examples import PAGES, Place, check_page
from tests.support.installations import Prepared

pytestmark = pytest.mark.integration

T = TypeVar("T")

READY_SECONDS = 900
WAIT_SECONDS = 60
PORTS = ("API", "SCORING", "EVENTS", "LIVE", "DASHBOARD", "BROKER", "DAGSTER")

# What the demo prints of an offer: the coupon, how long it took, and what speaks for it.
OFFER = re.compile(
    r"\d+ % off, (?P<type>\w+), \d+ products? +[\d.]+ ms\nthe .+ is .+, which makes use more likely"
)

SUMMARY_KEYS = ["index", "household_key", "age_45_plus", "income_50K_plus", "single_couple_family"]
SUMMARY_KEYS += ["has_kids", "single", "couple", "r_score", "f_score", "m_score", "rfm_score"]
SUMMARY_KEYS += ["rfm_bins", "alcohol", "beverages", "concessions", "dairy", "drug", "garden"]
SUMMARY_KEYS += ["grain_goods", "grocery", "home_family", "junk_food", "kitchen", "meat", "misc"]
SUMMARY_KEYS += ["produce", "seasonal", "total_sales"]


class Installation:
    """A data folder with a port of its own, driven by the command."""

    def __init__(self, data_dir: Path, output: Path, *, is_default: bool) -> None:
        self.data_dir = data_dir
        with ExitStack() as stack:
            probes = {name: stack.enter_context(socket.socket()) for name in PORTS}
            for probe in probes.values():
                probe.bind(("127.0.0.1", 0))
            ports = {name: probe.getsockname()[1] for name, probe in probes.items()}
        self.port = ports["API"]
        self.events_port = ports["EVENTS"]
        self.dagster_port = ports["DAGSTER"]
        self.broker_port = ports["BROKER"]
        self.environment = os.environ | {
            "POLLUX_DATA_DIR": str(data_dir),
            **{f"POLLUX_{name}_PORT": str(port) for name, port in ports.items()},
        }
        self.output = output
        # What the first start printed.
        self.first_output = ""
        self.place = Place(data_dir, ports, is_default=is_default)
        self.process: subprocess.Popen[bytes] | None = None

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

    def up(self) -> None:
        """Starts `pollux up`, until it says that it is."""
        started = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command("up"),
                env=self.environment,
                cwd=PROJECT_DIR,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while "Ctrl-C stops it" not in self.output.read_text():
            if self.process.poll() is not None:
                pytest.fail(f"pollux up ended: {self.output.read_text()}")
            if time.monotonic() > started + READY_SECONDS:
                pytest.fail("pollux up was not ready in time")
            time.sleep(0.1)
        self.first_output = self.first_output or self.output.read_text()

    def get(self, path: str, port: int | None = None) -> dict[str, object]:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def interrupt(self) -> str:
        """Presses Ctrl-C; returns all that was printed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=120)
        return self.output.read_text()

    def started(self) -> dict[str, psutil.Process]:
        """What the record names and still runs."""
        return Running(Settings(data_dir=self.data_dir)).started()

    def answers(self, path: str, port: int | None = None) -> bool:
        """Whether a URL answers with 200."""
        return ask(f"http://127.0.0.1:{port or self.port}{path}")[0] == 200

    def processes(self) -> list[str]:
        """What still runs of this installation."""
        home = str(EmbeddedPostgres(self.data_dir).home)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if home in line or str(self.data_dir) in line:
                found.append(line)
            elif "cli.main" in line:
                try:
                    if process.environ().get("POLLUX_DATA_DIR") == str(self.data_dir):
                        found.append(line)
                except psutil.Error:
                    continue
        return found


def wait_for(read: Callable[[], T], seconds: float = WAIT_SECONDS) -> T:
    """What `read` returns once it returns something."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.1)
    return found


@pytest.fixture(
    scope="module",
    params=["small sample", pytest.param("empty folder", marks=pytest.mark.endurance)],
)
def installation(
    request: pytest.FixtureRequest,
    prepared: Prepared,
    short_tmp: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    data_dir = short_tmp / request.param.split()[0]
    if request.param == "small sample":
        built = prepared.copy(prepared.everything(), data_dir)
        # Without the record of its build a domain is to be built.
        (built.data_dir / "builds" / "loyalty.json").unlink()
    installed = Installation(
        data_dir,
        tmp_path_factory.mktemp("up") / "output",
        is_default=request.param == "empty folder",
    )
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

    output = installation.output.read_text()
    assert "✓ build" in output
    assert "Pollux is up" in output
    assert f"http://127.0.0.1:{installation.port}/v1/households/1/summary" in output
    assert "Traceback" not in output


def test_database_that_goes_away_at_the_end_of_a_start_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def read_status(_settings: Settings) -> None:
        raise psycopg.OperationalError("server closed the connection\nand more")

    monkeypatch.setattr("orchestration.status.read_status", read_status)
    _show(Settings(data_dir=tmp_path), 12.3)
    told = capfd.readouterr()
    assert "Pollux is up after 12.3 s" in told.out
    assert "all routes" in told.out
    assert "server closed the connection. pollux status shows what is served" in told.err
    assert "and more" not in told.err


def test_its_build_is_a_run_that_the_page_shows(installation: Installation) -> None:
    wait_for(lambda: installation.answers("/server_info", installation.dagster_port), 120)
    query = (
        "{ runsOrError { ... on Runs { results { jobName status } } } "
        "assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } }"
        " }"
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{installation.dagster_port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)["data"]
    assert {"jobName": "build", "status": "SUCCESS"} in found["runsOrError"]["results"]
    made = {
        "/".join(node["assetKey"]["path"])
        for node in found["assetNodes"]
        if node["assetMaterializations"]
    }
    assert "loyalty/marts/members" in made


def test_one_that_is_killed_comes_back_and_the_others_stay(installation: Installation) -> None:
    before = installation.started()
    for name in ("broker", "API"):
        before[name].kill()
    wait_for(lambda: {"broker", "API"} <= set(installation.started()))
    wait_for(lambda: answers(HOST, installation.broker_port))
    wait_for(lambda: installation.answers("/readyz"))
    wait_for(lambda: installation.answers("/readyz", installation.events_port))
    after = installation.started()
    assert {name for name in before if after.get(name) != before[name]} == {"broker", "API"}
    output = installation.output.read_text()
    for name in ("broker", "API"):
        assert f"{name} ended with code -9; it is started again in 1 s." in output
    assert installation.process.poll() is None


def test_event_service_is_ready_with_a_broker_and_a_model(installation: Installation) -> None:
    # The worker asks the scorer for its model every second.
    ready = wait_for(
        lambda: (
            found
            if (found := installation.get("/readyz", installation.events_port))["model"]
            else None
        )
    )
    assert ready["worker"] == 1
    assert ready["release"] == 1
    model = installation.data_dir / "models" / "propensity" / "current"
    assert ready["model"] == model.readlink().name
    assert answers(HOST, installation.broker_port)


def test_customers_walk_through_the_shop(installation: Installation) -> None:
    done = installation.run("demo-store", "--customers", "20", "--seconds", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" enters: ") == 20
    focuses = re.findall(
        r"^  (?:Boys|Girls|Men|Sport|Women) +(.*)\n(?: {12}(\S.*))?", done.stdout, re.MULTILINE
    )
    assert len(focuses) == 60
    offers = [found for text, why in focuses if (found := OFFER.fullmatch(f"{text}\n{why}"))]
    assert len({offer["type"] for offer in offers}) >= 3
    refused = [text for text, why in focuses if not why]
    assert all(text.startswith("no offer: no coupon above 0.2 (best 0.") for text in refused)
    assert len(offers) + len(refused) == 60
    assert f"60 focus events, {len(offers)} offers" in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run_as_shown(installation: Installation, page: str) -> None:
    check_page(page, installation.place._replace(output=installation.first_output))


def test_notebooks_run_as_the_site_shows_them(installation: Installation, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.notebook_pages", str(tmp_path)],
        cwd=PROJECT_DIR,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, shown = texts_of(tmp_path), texts_of(PROJECT_DIR / "docs" / "notebooks")
    assert set(made) == set(shown)
    if installation.place.is_default:
        assert made == shown, "write them anew: python -m docs.notebook_pages docs/notebooks"


def texts_of(folder: Path) -> dict[str, list[str]]:
    """The lines of pages, and what is written in their pictures, by file."""
    return {
        path.name: re.findall(r"<text[^>]*>([^<]*)<", path.read_text())
        if path.suffix == ".svg"
        else path.read_text().splitlines()
        for path in folder.iterdir()
    }


def test_dead_letter_is_listed_and_read_again(installation: Installation) -> None:
    is_v5 = find_mosquitto() is not None
    settings = Settings(data_dir=installation.data_dir)
    login = ("sensor", passwords_of(settings, ["sensor"])["sensor"])
    with connected(installation.broker_port, "a sensor", is_v5=is_v5, login=login) as (sensor, _):
        publish(sensor, "pollux/focus", b'{"id": "1", "ts": 1, "dep": "[bold]"')

    def found() -> list[dict[str, object]]:
        done = installation.run("events", "dead-letters", "--json", "--show")
        assert done.returncode == 0, done.stderr
        # An example of the documentation leaves another.
        return [one for one in json.loads(done.stdout) if "[bold]" in one["message"]]

    letter = wait_for(found)[0]
    assert letter["kind"] == "focus"
    assert letter["state"] == "open"
    assert letter["message"] == '{"id": "1", "ts": 1, "dep": "[bold]"'
    assert "[bold]" not in installation.run("events", "dead-letters").stdout
    assert "[bold]" in installation.run("events", "dead-letters", "--show").stdout
    done = installation.run("events", "replay", "--id", str(letter["id"]))
    assert "1 dead letter is read again" in done.stdout
    again = wait_for(lambda: [one for one in found() if one["attempts"] == 2])
    assert again[0]["state"] == "open"
    assert b"[bold]" not in (installation.data_dir / "logs" / "events.log").read_bytes()


def test_down_stops_what_up_started(installation: Installation) -> None:
    done = installation.run("down")
    assert done.returncode == 0
    # In the order of their start, and one that was started again comes last.
    stopped = set(done.stdout.strip().removeprefix("Stopped: ").removesuffix(".").split(", "))
    assert {"pollux up", "broker", "scorer", "events", "live", "API", "dashboard"} <= stopped
    assert installation.process.wait(timeout=120) is not None
    assert installation.processes() == []
    assert "nothing was running" in installation.run("down").stdout


def test_once_ends_when_released(installation: Installation) -> None:
    done = installation.run("up", "--once")
    assert done.returncode == 0
    assert "Released after" in done.stdout
    # What it found, it does not make again.
    assert "sample" not in done.stderr
    assert installation.processes() == []


def test_second_start_finds_its_data_and_ctrl_c_ends_it(installation: Installation) -> None:
    installation.up()
    # What is up to date is not built again.
    assert "✓ build" not in installation.output.read_text()
    assert installation.get("/v1/households/1/summary")["household_key"] == 1
    output = installation.interrupt()
    assert "Traceback" not in output
    assert installation.processes() == []


def test_port_of_the_broker_in_use_says_what_to_do(installation: Installation) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", installation.broker_port))
        other.listen()
        done = installation.run("up")
    assert done.returncode == 1
    assert f"Port {installation.broker_port} is in use by process {os.getpid()}" in done.stderr
    assert "POLLUX_BROKER_PORT" in done.stderr
    assert "MQTT_HOST" in done.stderr


def test_nobody_walks_where_nothing_runs(installation: Installation) -> None:
    done = installation.run("demo-store")
    assert done.returncode == 3
    assert f"127.0.0.1:{installation.broker_port}" in done.stderr
    assert "pollux up runs a broker" in done.stderr


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
    assert re.search(r"served: .*household \d", findings["data"]["text"])


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
