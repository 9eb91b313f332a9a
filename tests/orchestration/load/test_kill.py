"""A load killed at random moments leaves one delivery or the other, never a mix."""

import time

import duckdb
import pytest

from orchestration.load.counts import count_problems
from orchestration.load.declarations import read_datasets
from orchestration.load.landing import domain_parts
from orchestration.load.run import load
from orchestration.load.take import take_inbox
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.orchestration.load.conftest import HEADER, Shop, numbered
from tests.support.kills import seconds_of, start

pytestmark = pytest.mark.endurance

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


def test_killed_at_random_moments(tmp_path, kill_loop):
    loop = kill_loop("load")
    rng = loop.rng
    settings = Settings(data_dir=tmp_path / "data")
    datasets = [d for d in read_datasets(PROJECT_DIR).values() if d.domain == "household"]
    files = tmp_path / "files"
    files.mkdir()
    work = {"domain": "household", "from_": files}
    possible = {0: write(files, 0, rng)}
    seconds = seconds_of(load, settings, **work)
    assert seen(settings) == (0, possible[0])
    landed = 0
    for version in loop.tries():
        before = seen(settings)[0]
        possible = {before: possible[before], version: write(files, version, rng)}
        loop.kill_within(seconds, start("", load, settings, **work))
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
    print(f"{loop.kills} killed, {landed} landed all the same or before")
    load(settings, **work)
    assert seen(settings) == (version, possible[version])
    assert not list((settings.landing_dir / ".tmp").iterdir())


def test_inbox_killed_at_random_moments(tmp_path, kill_loop):
    """Every file lands once, in order, and ends among the loaded ones; a broken one aside."""
    loop = kill_loop("inbox")
    shop = Shop(tmp_path)
    drop = shop.settings.inbox_dir / "shop"
    drop.mkdir(parents=True)
    work = {"domain": "shop", "project_dir": shop.folder}
    put = broken = 0

    def put_some():
        nonlocal put, broken
        for _ in range(loop.rng.randrange(1, 4)):
            put += 1
            (drop / f"sales-{put:06}.csv").write_bytes(HEADER + numbered(2, 10 * put))
        if loop.rng.random() < 0.3:
            broken += 1
            (drop / f"sales-broken-{broken:06}.csv").write_bytes(b"")

    put_some()
    seconds = seconds_of(take_inbox, shop.settings, **work)
    for _ in loop.tries():
        put_some()
        loop.kill_within(seconds, start("", take_inbox, shop.settings, **work))
        ids = [row[0] for row in shop.rows()]
        # Of every file both rows or none.
        assert sorted(ids) == sorted({i - i % 10 for i in ids} | {i - i % 10 + 1 for i in ids})
    take_inbox(shop.settings, **work)
    ids = [row[0] for row in shop.rows()]
    assert sorted(ids) == [10 * file + row for file in range(1, put + 1) for row in (0, 1)]
    assert list(drop.rglob("*")) == []
    kept = [path.name for path in (shop.settings.inbox_dir / "loaded" / "shop").iterdir()]
    assert sorted(kept) == [f"sales-{file:06}.csv" for file in range(1, put + 1)]
    aside = [path.name[16:] for path in (shop.settings.inbox_dir / "failed" / "shop").glob("*.csv")]
    assert sorted(aside) == [f"sales-broken-{file:06}.csv" for file in range(1, broken + 1)]
