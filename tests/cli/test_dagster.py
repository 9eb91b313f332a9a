"""`pollux dagster` as an operator runs it: the real web page and daemon, on a test PostgreSQL.

One installation goes through a day: a full run, files in the inbox, a failing test, and the
loss of a worker, of the daemon and of the database.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cli.dagster import DAEMON
from cli.processes import Running, log_of
from orchestration.instance.home import dagster_environment
from orchestration.instance.workers import worker, workers
from orchestration.load.run import load
from orchestration.release.registry import read_releases
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.processes import wait_for_end
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support import programs
from tests.support.browser import browse
from tests.support.installations import Prepared
from tests.support.programs import free_port

pytestmark = pytest.mark.endurance

T = TypeVar("T")

WAIT_SECONDS = 600
DATABASE_DOWN_SECONDS = 20
DOMAIN = "household"
# Where to keep what the browser saw; the test only looks at it.
PICTURES = os.environ.get("POLLUX_TEST_PICTURES")

LAUNCH = """
mutation Launch($params: [ExecutionParams!]!) {
  launchMultipleRuns(executionParamsList: $params) {
    __typename
    ... on PythonError { message }
    ... on LaunchMultipleRunsResult {
      launchMultipleRunsResult {
        __typename
        ... on LaunchRunSuccess { run { id } }
        ... on PythonError { message }
      }
    }
  }
}
"""
RUNS = """
query Runs { runsOrError(limit: 50) { ... on Runs {
  results { id status jobName parentRunId startTime endTime tags { key value } }
} } }
"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
EVENTS = """
query Events($run: ID!) { logsForRun(runId: $run, limit: 2000) {
  ... on EventConnection { events {
    __typename
    ... on MessageEvent { message stepKey }
    ... on AssetCheckEvaluationEvent { evaluation { checkName success assetKey { path } } }
    ... on ExecutionStepFailureEvent { failureMetadata { description } }
  } }
  ... on PythonError { message }
} }
"""


class Dagster:
    """An installation with a running `pollux dagster`."""

    def __init__(self, data_dir: Path, server: EmbeddedPostgres) -> None:
        self.server = server
        server.keep()
        url = server.url(user="postgres", database="postgres")
        self.variables = {
            "POLLUX_DATA_DIR": str(data_dir),
            "POLLUX_DATABASE_URL": url,
            "POLLUX_DAGSTER_PORT": str(free_port()),
        }
        self.settings = Settings(
            data_dir=data_dir,
            database_url=url,
            dagster_port=int(self.variables["POLLUX_DAGSTER_PORT"]),
        )
        self.output = data_dir.with_suffix(".out")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=os.environ | self.variables,
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "dagster"],
                env=os.environ | self.variables,
                cwd=PROJECT_DIR,
                stdout=output,
                stderr=output,
            )
        wait_for(lambda: self.process.poll() is not None or "is ready" in self.output.read_text())
        assert self.process.poll() is None, self.output.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.dagster_port}"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """An answer of the web page's GraphQL; waits while its database is away."""
        content = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", content, {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 60
        while True:
            try:
                with opener.open(request, timeout=120) as answer:
                    data = json.load(answer)
                if not data.get("errors"):
                    found: dict[str, Any] = data["data"]
                    return found
            except urllib.error.HTTPError as error:
                data = error.read()
            except OSError as error:
                data = str(error)
            assert time.monotonic() < deadline, data
            time.sleep(0.5)

    def launch(self, job: str, **tags: str) -> str:
        """Starts a run as the web page does; returns its id."""
        params = {
            "selector": {
                "repositoryLocationName": "pollux",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "mode": "default",
            "runConfigData": "{}",
            "executionMetadata": {
                "tags": [{"key": f"dagster/{name}", "value": tags[name]} for name in tags]
            },
        }
        (answer,) = self.ask(LAUNCH, params=[params])["launchMultipleRuns"][
            "launchMultipleRunsResult"
        ]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run: str = answer["run"]["id"]
        return run

    def tag(self, run_id: str, **tags: str) -> None:
        """Tags a run that has been launched."""
        add = (
            "import sys; from dagster import DagsterInstance; "
            "DagsterInstance.get().add_run_tags(sys.argv[1], dict([sys.argv[2:]]))"
        )
        for name, value in tags.items():
            subprocess.run(
                [sys.executable, "-c", add, run_id, f"dagster/{name}", value],
                env=dagster_environment(self.settings, find_serving_store(self.settings)),
                check=True,
            )

    def runs(self) -> list[dict[str, Any]]:
        """Newest first."""
        found: list[dict[str, Any]] = self.ask(RUNS)["runsOrError"]["results"]
        return found

    def ended(self, run_id: str) -> str:
        """Waits for the end of a run; returns its status."""

        def ended() -> str | None:
            status: str = self.ask(STATUS, run=run_id)["runOrError"]["status"]
            return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return wait_for(ended, found=lambda: (run_id, *self.found()))

    def found(self) -> Iterator[object]:
        """What an operator would look at where a run does not end."""
        yield self.runs()[:3]
        yield {name: process.status() for name, process in self.supervised().items()}
        yield [(process.pid, process.status()) for process in workers(self.settings)]
        yield self.output.read_text()[-2000:]
        yield log_of(self.settings, DAEMON).read_text()[-3000:]
        with psycopg.connect(self.storage_url) as connection:
            yield connection.execute(
                "select pid, state, wait_event, now() - xact_start, pg_blocking_pids(pid), "
                "left(query, 80) from pg_stat_activity where datname = current_database()"
            ).fetchall()

    def retry_of(self, run_id: str) -> str:
        """Waits for the run that the daemon starts in place of one that was cut off."""

        def retry() -> str | None:
            return next((run["id"] for run in self.runs() if run["parentRunId"] == run_id), None)

        return wait_for(retry, found=lambda: (run_id, *self.found()))

    def events(self, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(EVENTS, run=run_id)["logsForRun"]["events"]
        return found

    def seconds_of_a_run(self) -> float:
        """How long the last run of the domain took; makes one if there is none."""
        done = (r for r in self.runs() if r["jobName"] == DOMAIN and r["status"] == "SUCCESS")
        if (last := next(done, None)) is None:
            assert self.ended(self.launch(DOMAIN)) == "SUCCESS"
            return self.seconds_of_a_run()
        return float(last["endTime"] - last["startTime"])

    @property
    def storage_url(self) -> str:
        return make_conninfo(self.variables["POLLUX_DATABASE_URL"], dbname="postgres_dagster")

    def served(self) -> int:
        """The number of the release that is served."""
        with open_serving_store(self.settings).connect() as connection:
            return next((r.number for r in read_releases(connection, DOMAIN) if r.is_current), 0)

    def count(self, table: str) -> int:
        """Rows of a table of the release that is served; the views for people follow later."""
        served = f"{DOMAIN}__r{self.served()}"
        with psycopg.connect(self.variables["POLLUX_DATABASE_URL"]) as connection:
            row = connection.execute(f"select count(*) from {served}.{table}").fetchone()
            assert row is not None
            rows: int = row[0]
            return rows

    def alerts(self) -> str:
        path = self.settings.logs_dir / "alerts.log"
        return path.read_text() if path.exists() else ""

    def drop(self, name: str, content: str) -> None:
        folder = self.settings.inbox_dir / DOMAIN
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    def worker_of(self, run_id: str) -> psutil.Process:
        """Waits for the process of a run; that of the run before may still be ending."""
        return wait_for(
            lambda: worker(self.settings, run_id), found=lambda: (run_id, *self.found())
        )

    def wait_until_building(self) -> None:
        """Until dbt writes to the warehouse."""
        wait_for(lambda: Path(f"{self.settings.warehouse_path}.wal").exists())

    def supervised(self) -> dict[str, psutil.Process]:
        return Running(self.settings).started()


def wait_for(what: Callable[[], T | None], found: Callable[[], object] = lambda: "") -> T:
    """The first truthy value of `what`; fails, with what was `found`, where there is none."""
    return programs.wait_for(what, WAIT_SECONDS, log=lambda: f"waited in vain {found()}")


def raw(dataset: str) -> list[str]:
    """The small retailer's lines of a dataset, header first."""
    return (PROJECT_DIR / f"seeds/raw_household__{dataset}.csv").read_text().splitlines()


def demographics(*keys: str) -> str:
    header = raw("hh_demographic")[0]
    assert header.rpartition(",")[2].lower() == "household_key"
    row = "65+,A,35-49K,Homeowner,2 Adults No Kids,2,None/Unknown,"
    return "\n".join([header, *(row + key for key in keys)]) + "\n"


@pytest.fixture(scope="module")
def dagster(prepared: Prepared, short_tmp: Path) -> Iterator[Dagster]:
    prepared.empty(short_tmp / "dagster")
    server = EmbeddedPostgres(short_tmp / "server")
    installed = Dagster(short_tmp / "dagster", server)
    files = short_tmp / "files"
    files.mkdir()
    for seed in (PROJECT_DIR / "seeds").glob("raw_household__*.csv"):
        shutil.copy(seed, files / seed.name.removeprefix("raw_household__"))
    load(installed.settings, domain=DOMAIN, from_=files)
    installed.start()
    yield installed
    done = installed.command("down")
    server.stop()
    shutil.rmtree(server.home, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    assert installed.process is not None
    assert installed.process.wait(timeout=120) is not None
    left = [
        line
        for process in psutil.process_iter(["cmdline"])
        if str(installed.settings.data_dir) in (line := " ".join(process.info["cmdline"] or []))
    ]
    assert left == []


def test_whole_graph_is_materialized_and_served(dagster: Dagster) -> None:
    run = dagster.launch("everything")
    assert dagster.ended(run) == "SUCCESS", dagster.events(run)
    assert dagster.served() == 1
    assert dagster.count("hh_summary") > 0
    evaluated = [e["evaluation"] for e in dagster.events(run) if "evaluation" in e]
    assert len(evaluated) > 50
    assert all(evaluation["success"] for evaluation in evaluated)


def test_pages_load_without_errors(dagster: Dagster, tmp_path: Path) -> None:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium")
    run = dagster.runs()[0]["id"]
    with browse(program, tmp_path / "profile") as page:
        shown = "document.body.innerText.includes"
        page.open(f"{dagster.url}/asset-groups", until=f"{shown}('intermediate')")
        picture(page, "dagster-graph.png")
        asset = "assets/household/marts/hh_summary"
        page.open(f"{dagster.url}/{asset}", until=f"{shown}('One row per household')")
        picture(page, "dagster-asset.png")
        page.open(f"{dagster.url}/runs/{run}", until=f"{shown}('Success')")
        picture(page, "dagster-run.png")
        assert page.errors == []


def test_pages_of_other_origins_start_nothing(dagster: Dagster) -> None:
    before = len(dagster.runs())
    mutation = "mutation { launchMultipleRuns(executionParamsList: []) { __typename } }"
    body = json.dumps({"query": mutation})
    json_kind = {"Content-Type": "application/json"}
    foreign = {"Origin": "http://shop.example"}
    asked = f"/graphql?{urlencode({'query': mutation})}"
    for path, content, headers, status in [
        (asked, None, {}, 405),
        (asked, None, foreign, 403),
        (asked, "", {}, 415),
        ("/graphql", body, {"Content-Type": "text/plain; application/json"}, 415),
        ("/graphql", body, json_kind | foreign, 403),
        ("/runs", None, {"Host": "shop.example"}, 421),
        ("/graphql", body, json_kind | {"Origin": dagster.url}, 200),
    ]:
        method = "GET" if content is None else "POST"
        answer = httpx.request(method, dagster.url + path, content=content, headers=headers)
        assert answer.status_code == status, (path, headers, answer.text)
    assert len(dagster.runs()) == before


def picture(page: Any, name: str) -> None:
    if PICTURES:
        time.sleep(3)
        page.picture(Path(PICTURES) / name)


def test_file_in_the_inbox_is_served_without_a_command(dagster: Dagster) -> None:
    known = {line.rpartition(",")[2] for line in raw("hh_demographic")}
    position = raw("transaction_data")[0].lower().split(",").index("household_key")
    keys = {line.split(",")[position] for line in raw("transaction_data")[1:]}
    before, rows = dagster.served(), dagster.count("hh_summary")
    dagster.drop("hh_demographic_2024-03-23.csv", demographics(*sorted(keys - known)))
    wait_for(lambda: dagster.served() == before + 1)
    assert dagster.count("hh_summary") > rows
    wait_for(lambda: dagster.runs()[0]["status"] == "SUCCESS")
    assert dagster.runs()[0]["jobName"] == DOMAIN


def test_broken_file_is_set_aside_with_an_alert(dagster: Dagster) -> None:
    before = dagster.served()
    dagster.drop("product_new.csv", "PRODUCT_ID,MANUFACTURER\n1,2\n")
    wait_for(lambda: "product_new.csv" in dagster.alerts())
    assert dagster.served() == before
    assert not list((dagster.settings.inbox_dir / DOMAIN).iterdir())
    failed = {path.name[16:] for path in (dagster.settings.inbox_dir / "failed" / DOMAIN).iterdir()}
    assert failed == {"product_new.csv", "product_new.csv.reason.txt"}
    rejects = dagster.settings.rejects_dir / DOMAIN / "product"
    assert [path.name[16:] for path in rejects.iterdir()] == ["product_new.csv.csv"]


def test_failing_test_blocks_the_release(dagster: Dagster) -> None:
    before = dagster.served()
    again = dagster.settings.data_dir / "hh_demographic_again.csv"
    again.write_text(demographics(raw("hh_demographic")[1].rpartition(",")[2]))
    load(dagster.settings, domain=DOMAIN, from_=again)
    run = dagster.launch("everything")
    assert dagster.ended(run) == "FAILURE"
    name = "unique_stg_complete_journey__demographics_household_key"
    failed = [
        e["evaluation"]["checkName"]
        for e in dagster.events(run)
        if "evaluation" in e and not e["evaluation"]["success"]
    ]
    assert failed == [name]
    assert dagster.served() == before
    wait_for(lambda: name in dagster.alerts())
    # A test that failed fails again: nothing is tried twice.
    assert not any(r["parentRunId"] == run for r in dagster.runs())
    part = dagster.settings.landing_dir / DOMAIN / "hh_demographic" / f"{again.name}.parquet"
    part.unlink()


def test_killed_worker_and_daemon_do_not_keep_the_release(dagster: Dagster) -> None:
    before = dagster.served()
    run = dagster.launch(DOMAIN)
    dagster.wait_until_building()
    dagster.worker_of(run).kill()
    assert dagster.ended(run) == "FAILURE"
    again = dagster.retry_of(run)
    # The dbt of the killed worker holds the warehouse until it ends.
    dagster.worker_of(again)
    daemon = dagster.supervised()["dagster daemon"]
    daemon.kill()
    assert dagster.ended(again) == "SUCCESS", dagster.events(again)
    assert dagster.served() == before + 1
    wait_for(lambda: "dagster daemon" in dagster.supervised())
    assert dagster.supervised()["dagster daemon"].pid != daemon.pid
    # The daemon that was killed may have left it to the next one.
    wait_for(lambda: "will be tried again" in dagster.alerts())


def test_run_killed_at_random_moments(dagster: Dagster, kill_loop) -> None:
    loop = kill_loop("Dagster run")
    seconds = dagster.seconds_of_a_run()
    for _ in loop.tries():
        before = dagster.served()
        run = dagster.launch(DOMAIN)
        killed = dagster.worker_of(run)
        time.sleep(loop.rng.uniform(0, seconds))
        if killed.is_running():
            killed.kill()
            loop.count_kill()
        if dagster.ended(run) == "FAILURE":
            run = dagster.retry_of(run)
            assert dagster.ended(run) == "SUCCESS", dagster.events(run)
        # The killed one may have released already.
        assert dagster.served() in (before + 1, before + 2)


def freeze_with_rows(dagster: Dagster, process: psutil.Process) -> None:
    """Suspends a run while it keeps rows of assets locked."""
    with psycopg.connect(dagster.storage_url, autocommit=True) as connection:
        while True:
            assert process.status() != psutil.STATUS_ZOMBIE, "the run ended before"
            process.suspend()
            # What it has sent already is done.
            time.sleep(0.02)
            held = connection.execute(
                "select from pg_stat_activity join pg_locks using (pid) "
                "where state = 'idle in transaction' and relation = 'asset_keys'::regclass"
            ).fetchone()
            if held is not None:
                return
            process.resume()
            time.sleep(0.01)


def test_hung_run_is_ended_and_frees_its_place(dagster: Dagster) -> None:
    before = dagster.served()
    run = dagster.launch(DOMAIN, max_retries="0")
    dagster.wait_until_building()
    frozen = dagster.worker_of(run)
    # The worst moment: it has written to rows that the start of any other run writes to.
    freeze_with_rows(dagster, frozen)
    children = frozen.children(recursive=True)
    for process in children:
        process.suspend()
    hung = [frozen, *children]
    next_run = dagster.launch(DOMAIN)
    dagster.tag(run, max_runtime="1")
    assert dagster.ended(run) == "FAILURE"
    messages = [event.get("message") for event in dagster.events(run)]
    assert "Exceeded maximum runtime of 1 seconds." in messages
    assert dagster.ended(next_run) == "SUCCESS", dagster.events(next_run)
    assert wait_for_end(hung, 1)
    assert dagster.served() == before + 1


def test_database_that_goes_away_does_not_keep_the_release(dagster: Dagster) -> None:
    before = dagster.served()
    run = dagster.launch(DOMAIN)
    dagster.wait_until_building()
    dagster.server.kill(signal.SIGINT)
    wait_for(lambda: not dagster.server.is_running())
    time.sleep(DATABASE_DOWN_SECONDS)
    dagster.server.keep()
    if dagster.ended(run) != "SUCCESS":
        run = dagster.retry_of(run)
        assert dagster.ended(run) == "SUCCESS", dagster.events(run)
    assert dagster.served() == before + 1


def test_second_one_and_a_taken_port_are_named(dagster: Dagster) -> None:
    assert dagster.process is not None
    done = dagster.command("dagster")
    assert done.returncode == 1
    assert f"(process {dagster.process.pid})" in done.stderr
    dagster.variables["POLLUX_DATA_DIR"] += "2"
    try:
        done = dagster.command("dagster")
    finally:
        dagster.variables["POLLUX_DATA_DIR"] = str(dagster.settings.data_dir)
    assert done.returncode == 1
    assert "POLLUX_DAGSTER_PORT" in done.stderr
    assert str(dagster.settings.dagster_port) in done.stderr


def test_doctor_knows(dagster: Dagster) -> None:
    done = dagster.command("doctor", "--json")
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert findings["dagster"]["is_fine"] is True
