"""A load killed at any moment: what is seen is what was there before or what should be there."""

import os
import random
import signal
import subprocess
import sys
import time

import duckdb
import pytest

from orchestration.load.landing import domain_parts
from orchestration.load.run import load
from pollux.runtime.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.endurance

ROWS = 300_000
KILLS = 12
CHILD = """
import sys
from pathlib import Path
from orchestration.load.run import load
from pollux.runtime.settings import Settings
print("ready", flush=True)
load(Settings(data_dir=Path(sys.argv[1])), domain="household", from_=Path(sys.argv[2]))
"""


def write(folder, version, dirt):
    """Two files; every value of one version is the version's number, one row in 200 is dirt."""
    for name, columns in (
        ("causal_data.csv", "product_id,store_id,week_no,display,mailer"),
        ("coupon.csv", "coupon_upc,product_id,campaign"),
    ):
        row = ",".join([str(version)] * (columns.count(",") + 1)) + "\n"
        block = row * 199 + ("x" + row if dirt else row)
        (folder / name).write_text(columns + "\n" + block * (ROWS // 200))


def seen(settings):
    """Return (dataset, version, rows) of every part there is, read in full."""
    found = set()
    for part in domain_parts(settings, "household"):
        query = f"SELECT min(COLUMNS(*)), max(COLUMNS(*)) FROM '{part.path}'"
        values = duckdb.sql(query).fetchall()[0]
        assert len({str(value) for value in values}) == 1
        assert part.rows_read == ROWS
        found.add((part.dataset, int(values[0]), part.rows_landed))
    return found


def expected(version, dirt):
    rows = ROWS - ROWS // 200 if dirt else ROWS
    return {(name, version, rows) for name in ("causal_data", "coupon")}


@pytest.mark.parametrize("dirt", [False, True], ids=["clean", "dirty"])
def test_killed_at_random_moments(tmp_path, dirt):
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    settings = Settings(data_dir=tmp_path / "data")
    files = tmp_path / "files"
    files.mkdir()
    write(files, 0, dirt)
    started = time.monotonic()
    load(settings, domain="household", from_=files)
    seconds = time.monotonic() - started
    possible = expected(0, dirt)
    for version in range(1, KILLS + 1):
        write(files, version, dirt)
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(settings.data_dir), str(files)],
            stdout=subprocess.PIPE,
            cwd=PROJECT_DIR,
            env=os.environ | {"PYTHONPATH": str(PROJECT_DIR)},
        ) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 1.5 * seconds))
            child.send_signal(signal.SIGKILL)
        possible |= expected(version, dirt)
        assert seen(settings) <= possible
        assert len(seen(settings)) == 2
    load(settings, domain="household", from_=files)
    assert seen(settings) == expected(KILLS, dirt)
    assert not list((settings.landing_dir / ".tmp").iterdir())
    rejects = list(settings.rejects_dir.rglob("*.csv"))
    assert len(rejects) == (2 if dirt else 0)
    for path in rejects:
        assert f",x{KILLS}," in path.read_text() or f'"x{KILLS},' in path.read_text()
