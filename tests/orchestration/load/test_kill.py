"""A load killed at random moments leaves one delivery or the other, never a mix."""

import os
import random
import time

import duckdb
import pytest

from orchestration.load.counts import count_problems
from orchestration.load.declarations import read_datasets
from orchestration.load.landing import domain_parts
from orchestration.load.run import load
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.support.kills import start

pytestmark = pytest.mark.endurance

# As many as somebody has time for.
KILLS = int(os.environ.get("POLLUX_TEST_KILLS", "100"))
FILES = {
    "causal_data": "product_id,store_id,week_no,display,mailer",
    "coupon": "coupon_upc,product_id,campaign",
    "campaign_table": "household_key,campaign,description",
}


def write(folder, version, rng):
    """Six files; every value is the version's number, some rows are dirt. Returns rows by part."""
    rows = {}
    for dataset, columns in FILES.items():
        row = ",".join([str(version)] * (columns.count(",") + 1)) + "\n"
        for number in (1, 2):
            size = rng.randrange(200, 20_000)
            bad = ["x" + row] * rng.choice([0, size // 150])
            name = f"{dataset}-{number}.csv"
            (folder / name).write_text("".join([columns + "\n", row * size, *bad]))
            rows[dataset, name] = size, len(bad)
    return rows


def seen(settings):
    """The version of everything that is there, and rows landed and rejected by part."""
    found, versions = {}, set()
    for part in domain_parts(settings, "household"):
        versions.update(duckdb.sql(f"SELECT min(COLUMNS(*)), max(COLUMNS(*)) FROM '{part.path}'")
                        .fetchall()[0])  # fmt: skip
        found[part.dataset, part.name] = part.rows_landed, part.rows_rejected
    (version,) = {int(value) for value in versions}
    return version, found


def test_killed_at_random_moments(tmp_path):
    random_seed = random.SystemRandom().randrange(10**6)
    print("random seed", random_seed)
    rng = random.Random(random_seed)
    settings = Settings(data_dir=tmp_path / "data")
    datasets = [d for d in read_datasets(PROJECT_DIR).values() if d.domain == "household"]
    files = tmp_path / "files"
    files.mkdir()
    work = {"domain": "household", "from_": files}
    possible = {0: write(files, 0, rng)}
    # The first process waits for the server of all others.
    start("", domain_parts, settings, "household").join()
    started = time.monotonic()
    start("", load, settings, **work).join()
    seconds = time.monotonic() - started
    assert seen(settings) == (0, possible[0])
    killed = landed = 0
    for version in range(1, KILLS + 1):
        before = seen(settings)[0]
        possible = {before: possible[before], version: write(files, version, rng)}
        loading = start("", load, settings, **work)
        time.sleep(rng.uniform(0, 1.2 * seconds))
        loading.kill()
        loading.join()
        killed += loading.exitcode != 0
        if rng.random() < 0.3:
            # And whoever comes next, who may have to finish it.
            reading = start("", domain_parts, settings, "household")
            time.sleep(rng.uniform(0, 0.05))
            reading.kill()
            reading.join()
        now, found = seen(settings)
        assert found == possible[now]
        landed += now == version
        for dataset in datasets:
            assert count_problems(settings, dataset) == []
    print(f"{killed} killed of {KILLS}, {landed} landed all the same")
    load(settings, **work)
    assert seen(settings) == (KILLS, possible[KILLS])
    assert not list((settings.landing_dir / ".tmp").iterdir())
