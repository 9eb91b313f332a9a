"""A build that fails, is killed, or finds the warehouse in use, and what is served meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestration.build import build, prepared_build
from orchestration.load import landing
from orchestration.load.run import load
from orchestration.release.registry import read_releases
from orchestration.transform.errors import BuildError
from orchestration.transform.record import read_record
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.warehouse import lock_warehouse
from tests.conftest import PROJECT_DIR
from tests.support.installations import Prepared

pytestmark = pytest.mark.integration

WAIT_SECONDS = 600


def served(settings: Settings, domain: str = "household") -> list[tuple[int, bool]]:
    with open_serving_store(settings).connect() as connection:
        return [(row.number, row.is_current) for row in read_releases(connection, domain)]


def start(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"POLLUX_DATA_DIR": str(settings.data_dir)},
        cwd=PROJECT_DIR,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def is_building(settings: Settings) -> bool:
    """Whether dbt writes to the warehouse at this moment."""
    return Path(f"{settings.warehouse_path}.wal").exists()


@pytest.fixture
def all_domains(prepared: Prepared, short_tmp: Path, request: pytest.FixtureRequest) -> Settings:
    """A copy of every domain, released, for a test to change: it builds one that is small."""
    return prepared.copy(prepared.everything(), short_tmp / request.node.name[5:20])


@pytest.mark.endurance
def test_failing_test_keeps_the_old_release_and_is_named(
    all_domains: Settings, tmp_path: Path, pollux
) -> None:
    again = tmp_path / "products_again.csv"
    again.write_text(
        "product_id,name,category,sizes,vendor,description,buy_price,department\n"
        "1,Tank top,Tank top,S-L,Marlowen,A tank top,5.88,Boys\n"
    )
    load(all_domains, domain="store", from_=again, dataset="products", sample=True)

    done = pollux(all_domains, "build", "--domain", "store")

    assert done.returncode == 4
    assert "test unique_stg_store__products_product_id failed on 1 rows" in done.stderr
    assert "unique_field=1, n_records=2" in done.stderr
    assert "Traceback" not in done.stderr
    assert served(all_domains, "store") == [(1, True)]
    refused = pollux(all_domains, "release", "--domain", "store")
    assert refused.returncode == 5
    assert "unique_stg_store__products_product_id" in refused.stderr

    # Mended, the next build is released.
    (all_domains.landing_dir / "store" / "products" / f"{again.name}.parquet").unlink()
    mended = pollux(all_domains, "build", "--domain", "store", "--json")
    assert mended.returncode == 0, mended.stderr
    assert json.loads(mended.stdout)["releases"][0]["number"] == 2
    assert served(all_domains, "store") == [(2, True), (1, False)]


@pytest.mark.endurance
def test_unreadable_landing_is_named(all_domains: Settings, pollux) -> None:
    part = next((all_domains.landing_dir / "loyalty" / "loyalty_list").glob("[!_]*.parquet"))
    content = bytearray(part.read_bytes())
    # Its values; what it says of itself stands at its end.
    values = slice(50, len(content) // 3)
    content[values] = bytes(len(content[values]))
    part.write_bytes(content)
    done = pollux(all_domains, "build", "--domain", "loyalty")
    assert done.returncode == 4
    assert "could not run" in done.stderr
    assert part.name in done.stderr
    assert "Traceback" not in done.stderr


def test_build_without_data_says_what_to_do(short_tmp: Path, pollux) -> None:
    empty = Settings(data_dir=short_tmp / "nodata")
    for arguments in (["build"], ["build", "--domain", "household"], ["release"]):
        done = pollux(empty, *arguments)
        assert done.returncode in {4, 5}
        assert "Nothing has been loaded" in done.stderr
    done = pollux(empty, "build", "--domain", "nonsense")
    assert "Nothing has been loaded for nonsense" in done.stderr


@pytest.mark.endurance
def test_killed_build_is_not_released_and_can_be_run_again(released: Settings, pollux) -> None:
    process = start(released, "build")
    wait_for(lambda: is_building(released))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    record = read_record(released, "household")
    assert record is not None
    assert record.status == "running"
    refused = pollux(released, "release")
    assert refused.returncode == 5
    assert "did not end" in refused.stderr
    assert served(released) == [(1, True)]

    done = pollux(released, "build")
    assert done.returncode == 0, done.stderr
    assert served(released) == [(2, True), (1, False)]


@pytest.mark.endurance
def test_second_build_waits_for_what_a_killed_command_left_running(
    installation: Settings, pollux
) -> None:
    process = start(installation, "build")
    wait_for(lambda: is_building(installation))
    dbt = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    # It would end before the next commands begin.
    for child in dbt:
        child.suspend()
    assert any(child.is_running() for child in dbt)

    done = pollux(installation, "release", POLLUX_LOCK_TIMEOUT_SECONDS="0")
    assert done.returncode == 5
    done = pollux(installation, "build", POLLUX_LOCK_TIMEOUT_SECONDS="0")
    for child in dbt:
        child.resume()
    assert done.returncode == 1
    assert f"in use: a build (process {process.pid}" in done.stderr
    done = pollux(installation, "build")
    assert done.returncode == 0, done.stderr
    assert served(installation) == [(1, True)]


def test_load_waits_while_marts_are_built(
    installation: Settings, sample_files: Path, pollux
) -> None:
    process = start(installation, "build")
    wait_for(lambda: is_building(installation))
    # It would end before the load begins.
    os.killpg(process.pid, signal.SIGSTOP)
    assert process.poll() is None
    done = pollux(
        installation,
        *("load", "--domain", "household", "--from", str(sample_files)),
        POLLUX_LOCK_TIMEOUT_SECONDS="0.2",
    )
    assert done.returncode == 6
    assert f"held by process {process.pid}" in done.stderr
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_files_that_come_while_dbt_reads_are_built_unless_they_move_the_window(
    all_domains: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "products_more.csv"
    more.write_text(
        "product_id,name,category,sizes,vendor,description,buy_price,department\n"
        "987654,Tank top,Tank top,S-L,Marlowen,A tank top,5.88,Boys\n"
    )
    with prepared_build(all_domains, ["store"]) as ready:
        load(all_domains, domain="store", from_=more, dataset="products", sample=True)
        build(all_domains, ["store"], ready=ready).raise_if_failed()
    record = read_record(all_domains, "store")
    assert record is not None
    assert record.landing == landing.fingerprint(all_domains, "store")

    with prepared_build(all_domains, ["store"]) as ready:
        monkeypatch.setattr("orchestration.build.study_of", lambda _settings: "another")
        with pytest.raises(BuildError, match="loaded while the build began"):
            build(all_domains, ["store"], ready=ready)
    # Nobody told dbt to run, and it has ended.
    assert ready.dbt.returncode != 0


def test_busy_warehouse_names_its_holder(installation: Settings, pollux) -> None:
    with lock_warehouse(installation, "a test"):
        done = pollux(installation, "build", POLLUX_LOCK_TIMEOUT_SECONDS="0.5")
    assert done.returncode == 1
    assert f"in use: a test (process {os.getpid()}" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("POLLUX_ENGINE", "oracle", "POLLUX_ENGINE"),
        ("POLLUX_API_PORT", "eighty", "POLLUX_API_PORT"),
        ("POLLUX_DATABASE_URL", "no url at all", "POLLUX_DATABASE_URL cannot be read"),
        ("POLLUX_DATA_DIR", "it's", "contains '"),
        ("POLLUX_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x", "cannot be reached"),
    ],
)
def test_wrong_settings_are_named(
    built: Settings, pollux, variable: str, value: str, message: str
) -> None:
    done = pollux(built, "status", **{variable: value})
    assert done.returncode in {2, 3}
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_cannot_be_written_is_named(tmp_path: Path, sample_files: Path, pollux) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    settings = Settings(data_dir=file / "data")
    for arguments in (
        ["up", "--once"],
        ["status"],
        ["load", "--domain", "household", "--from", str(sample_files)],
    ):
        done = pollux(settings, *arguments)
        assert done.returncode != 0
        assert str(file) in done.stderr, arguments
        assert "Traceback" not in done.stderr


def test_broken_record_of_a_build_is_named(installation: Settings, pollux) -> None:
    record = installation.data_dir / "builds" / "household.json"
    record.write_text("{")
    done = pollux(installation, "release")
    assert done.returncode == 4
    assert "is not a record of a build" in done.stderr
