"""An installation of the last release goes on under this code: nothing lost, next build right."""

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from orchestration.load.run import load
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR

pytestmark = pytest.mark.endurance

LAST_RELEASE = "93a96ef"  # 0.1.0

# Then every window was that of the study, as the changelog says.
VARIABLES = {"POLLUX_STUDY": "complete_journey"}

# With the code of then: tables of the event service, and a row in them.
WRITE_EVENTS = """
from services.events.migrate import migrate
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
with open_serving_store(Settings()).connect() as connection:
    migrate(connection)
    connection.execute(
        "insert into events.loyalty_list (event_key, line, email) "
        "values (gen_random_uuid(), 1, 'anna@example.org')"
    )
"""
MARTS = {
    "household": ["household_rfm", "hh_summary", "daily_hh_spend", "campaign_summary", "products"],
    "customer": ["voucher_ranking", "customers", "customer_cashback"],
    "loyalty": ["members"],
}


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = subprocess.run(
        ["git", "-C", str(PROJECT_DIR), "archive", LAST_RELEASE], capture_output=True, check=False
    )
    if archive.returncode != 0:
        pytest.skip(f"this checkout has no history: git fetch --unshallow brings {LAST_RELEASE}")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def run(code: Path, settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=code,
        env=os.environ
        | VARIABLES
        | {"POLLUX_DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(settings: Settings) -> dict[str, str]:
    """Every mart as it is served, as CSV, in the order of its first columns."""
    found = {}
    with open_serving_store(settings).connect() as connection:
        for domain, marts in MARTS.items():
            for mart in marts:
                select = (
                    f"copy (select * from {domain}.{mart} order by 1, 2, 3) to stdout csv header"
                )
                with connection.cursor().copy(select) as copy:
                    found[f"{domain}.{mart}"] = b"".join(copy).decode()
    return found


def cut(text: str, *, to: str) -> str:
    """A mart's rows as CSV, without the columns that an earlier version did not have."""
    columns = next(csv.reader(io.StringIO(to)))
    cut_to = io.StringIO()
    writer = csv.DictWriter(cut_to, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(text)))
    return cut_to.getvalue()


def test_data_folder_of_the_last_release(old_code: Path, short_tmp: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=short_tmp / "upgraded")
    for domain in MARTS:
        sample = ("sample", "--to", str(tmp_path / domain), "--domain", domain, "--scale", "0.02")
        run(old_code, settings, "-m", "cli.main", *sample)
        source = tmp_path / domain / domain
        files = source if source.is_dir() else tmp_path / domain
        run(old_code, settings, "-m", "cli.main", "load", "--domain", domain, "--from", str(files))
    run(old_code, settings, "-c", WRITE_EVENTS)
    run(old_code, settings, "-m", "cli.main", "build")

    before = rows(settings)
    status = json.loads(run(PROJECT_DIR, settings, "-m", "cli.main", "status", "--json"))
    assert {r["domain"]: r["number"] for r in status["releases"]} == dict.fromkeys(MARTS, 1)
    assert "anna@example.org" in before["loyalty.members"]
    # Files that are loaded again are held to the rules that columns have now.
    for outcomes in ({"unchanged", "replaced"}, {"unchanged"}):
        again = load(settings, domain="household", from_=tmp_path / "household")
        assert {file.outcome for file in again.files} == outcomes
        assert all(file.rows_rejected == 0 for file in again.files)
    assert all(text.count("\n") > 1 for text in before.values())

    run(PROJECT_DIR, settings, "-m", "cli.main", "build")
    after = rows(settings)
    assert {mart: cut(text, to=before[mart]) for mart, text in after.items()} == before
    status = json.loads(run(PROJECT_DIR, settings, "-m", "cli.main", "status", "--json"))
    served = {r["domain"]: r["number"] for r in status["releases"] if r["is_current"]}
    assert served == dict.fromkeys(MARTS, 2)
    landed = {d["dataset"]: d["rows"] for d in status["datasets"] if d["domain"] == "events"}
    assert landed == {"loyalty_list": 1}
    run(PROJECT_DIR, settings, "-m", "cli.main", "doctor")
