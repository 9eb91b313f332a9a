"""Fixtures that every test may use: folders, raw files, installations made once and copied."""

import gc
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from pollux.masking import mask_logged_errors
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from tests.support.clusters import copy_clusters
from tests.support.kill_loops import KillLoop, describe, make_kill_loop

# What only some tests need is imported by the fixture that makes it.
if TYPE_CHECKING:
    from orchestration.learn.propensity.card import Card
    from pollux.runtime.spark_connect import SparkServer
    from tests.support.installations import Prepared

# The machine's other work must not decide whether a test of properties passes.
hypothesis_settings.register_profile(
    "pollux", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("pollux")

PROJECT_DIR = Path(__file__).resolve().parents[1]
# The real files cannot be given on: who has them says where.
REALDATA_DIR = Path(
    os.environ.get("POLLUX_TEST_REALDATA", PROJECT_DIR.parent / "shared" / "realdata")
)
# The longest files, so that a worker does not begin one when the others are done. In `make test`
# the first makes the installation that most files wait for; the next three need none. Some are of
# `make endurance` only.
LONGEST = (
    "cli/test_up.py",
    "cli/test_dagster.py",
    "deploy/test_image.py",
    "deploy/test_one_machine.py",
    "orchestration/transform/test_dbt.py",
    "orchestration/transform/test_project.py",
    "orchestration/load/test_property.py",
    "services/openapi/test_schemathesis.py",
    "models/test_marts_agree.py",
    "orchestration/test_build_faults.py",
    "services/dashboard/test_browser.py",
    "test_upgrade.py",
    "services/events/test_personal.py",
    "services/live/",
    "models/test_live_marts.py",
    "deploy/test_several.py",
    "cli/test_up_kills.py",
    "orchestration/test_build.py",
    "orchestration/release/test_release.py",
    "orchestration/defs/test_runs.py",
    "orchestration/load/test_events.py",
    "docs/test_site.py",
    "services/api/test_segments.py",
    "cli/",
    "orchestration/",
    "services/events/",
    "pollux/",
    "services/api/",
)
EVENT_SERVICE = PROJECT_DIR / "tests" / "services" / "events"
# Where the workers of a run find what they share; who sets it keeps it for the next run.
SHARED_FOLDER = "POLLUX_TEST_SHARED_FOLDER"
IS_KEPT = pytest.StashKey[bool]()

# dbt's log of every query is a tenth of a build's time, and no test reads it.
os.environ.setdefault("DBT_LOG_LEVEL_FILE", "info")

Pollux = Callable[..., subprocess.CompletedProcess[str]]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names the cases of contents by number: compressed ones hold the second they were made in.

    Test processes that collected different names would refuse to run.
    """
    return argname if isinstance(val, bytes) else None


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder that the workers of this run share, unless one is kept."""
    if not hasattr(config, "workerinput"):
        config.stash[IS_KEPT] = SHARED_FOLDER in os.environ
        if not config.stash[IS_KEPT]:
            os.environ[SHARED_FOLDER] = tempfile.mkdtemp(prefix="px")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make endurance` reads no file without its tests: every process would import all of them."""
    is_left_out = (
        config.option.markexpr.startswith("endurance")
        and collection_path.name.startswith("test_")
        # Some of its tests have the mark by a hook.
        and EVENT_SERVICE not in collection_path.parents
        and "mark.endurance" not in collection_path.read_text()
    )
    return is_left_out or None


def pytest_collectstart() -> None:
    """Imports make millions of objects that stay: there is nothing to collect among them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares the tests a collector that looks through all that was imported, every time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes what the workers shared; the last line says what was left out."""
    gc.unfreeze()
    if not hasattr(config, "workerinput"):
        if not config.stash[IS_KEPT]:
            remove_installations(Path(os.environ.pop(SHARED_FOLDER)))
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reasons = Counter(report.longrepr[2] for report in reporter.stats.get("skipped", ()))
        if reasons:
            said = "; ".join(
                f"{count} ({reason.removeprefix('Skipped: ')})"
                for reason, count in reasons.most_common()
            )
            reporter.write_line(
                f"Left out: {said}. On Debian, .ci/run installs what is missing and runs them."
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what the loops of kills did, if any ran."""
    stats = terminalreporter.stats
    for line in describe([*stats.get("passed", ()), *stats.get("failed", ())]):
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first: whole files go to the workers in this order."""

    def rank(item: pytest.Item) -> tuple[bool, int]:
        place = item.path.relative_to(PROJECT_DIR / "tests").as_posix()
        found = [number for number, start in enumerate(LONGEST) if place.startswith(start)]
        is_unit = not any(item.get_closest_marker(mark) for mark in ("integration", "endurance"))
        return is_unit, min(found, default=len(LONGEST))

    items.sort(key=rank)


def remove_installations(folder: Path) -> None:
    """Removes a folder of data folders and the servers that belong to them."""
    for installation in folder.iterdir():
        postgres = EmbeddedPostgres(installation)
        postgres.stop()
        shutil.rmtree(postgres.home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real files; skips where it is absent."""
    if not REALDATA_DIR.is_dir():
        pytest.skip(f"no real files in {REALDATA_DIR}: POLLUX_TEST_REALDATA says where they are")
    return REALDATA_DIR


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A folder with a short path, as a unix socket needs; its servers end with it."""
    folder = Path(tempfile.mkdtemp(prefix="px"))
    yield folder
    remove_installations(folder)


@pytest.fixture(scope="session", autouse=True)
def _clusters() -> Iterator[None]:
    """Databases are copies of one that is made once for the run."""
    with pytest.MonkeyPatch.context() as patch:
        copy_clusters(Path(os.environ[SHARED_FOLDER]) / "cluster", patch)
        yield


@pytest.fixture(scope="session")
def prepared() -> "Prepared":
    """Installations that are made once for the run."""
    from tests.support.installations import Prepared  # noqa: PLC0415

    return Prepared(Path(os.environ[SHARED_FOLDER]))


@pytest.fixture(scope="session")
def spark_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkServer]":
    """A Spark server that tests of this process share."""
    from tests.support.spark import require_spark, small_server  # noqa: PLC0415

    require_spark()
    with small_server(tmp_path_factory.mktemp("spark")) as server:
        yield server


@pytest.fixture(scope="session")
def sample_files(prepared: "Prepared") -> Path:
    """The raw files of a small made-up retailer."""
    return prepared.samples()["household"]


@pytest.fixture(scope="session")
def built(prepared: "Prepared") -> Settings:
    """The household domain, built by DuckDB and released; tests must not change it."""
    return prepared.household()


@pytest.fixture
def installation(
    prepared: "Prepared", short_tmp: Path, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """A copy of the built installation, not yet released, for a test to change."""
    yield from _copied(prepared, short_tmp, request, released=False)


@pytest.fixture
def released(
    prepared: "Prepared", short_tmp: Path, request: pytest.FixtureRequest
) -> Iterator[Settings]:
    """A copy of the built installation that serves its first release, for a test to change."""
    yield from _copied(prepared, short_tmp, request, released=True)


def _copied(
    prepared: "Prepared", folder: Path, request: pytest.FixtureRequest, *, released: bool
) -> Iterator[Settings]:
    data_dir = folder / f"i{abs(hash(request.node.nodeid)) % 10**8}"
    yield prepared.copy(prepared.household(), data_dir, released=released)
    EmbeddedPostgres(data_dir).stop()


@pytest.fixture
def kill_loop(request: pytest.FixtureRequest) -> Callable[[str], KillLoop]:
    """Makes the loop of a test that kills a target at random moments."""
    return lambda target: make_kill_loop(request.node, target)


@pytest.fixture
def pollux() -> Pollux:
    """Runs the command on an installation, as a user would."""

    def run(
        settings: Settings, *arguments: str, timeout: float = 900, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=os.environ | {"POLLUX_DATA_DIR": str(settings.data_dir)} | environment,
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def store_files(prepared: "Prepared") -> Path:
    """Raw files of a store of 20 customers."""
    return prepared.trained() / "files"


@pytest.fixture(scope="session")
def trained_store(prepared: "Prepared") -> "tuple[Settings, Card]":
    """An installation with a promoted model; tests must not change it."""
    from orchestration.learn.propensity.card import Card  # noqa: PLC0415
    from pollux.propensity import CARD_FILE, models_dir  # noqa: PLC0415

    settings = Settings(data_dir=prepared.trained())
    return settings, Card.read(models_dir(settings) / "current" / CARD_FILE)


@pytest.fixture
def masked_logs() -> Iterator[None]:
    """Errors are logged as every command has it: places and types, and no values."""
    factory = logging.getLogRecordFactory()
    mask_logged_errors()
    yield
    logging.setLogRecordFactory(factory)
