"""A release of as many households as one likes, and the processes that answer from it.

Belongs here: a small build, its release grown, and its services. Does not belong here: what is
measured (`bench_live`).

The build's households are copied under new numbers: their lines in the files that live rows are
computed from, what was learned of them, and their rows in `household_rfm` and `household_segments`.
Tables with many rows of each stay those of the build, and so does what concerns everybody. Of the
sample's baskets one in ten is built from, some hundred lines of a household.
"""

import itertools
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import duckdb
import httpx
import psutil
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measuring import free_port, run_pollux
from orchestration.scans import scan_csv
from pollux.runtime.live_lines import SUFFIX, open_lines, write_lines
from pollux.runtime.live_plan import read_plan
from pollux.runtime.recommend.learned import NEIGHBOURS_FILE
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from sample.generate import generate
from services.events.database.migrate import prepare_database

# The sample's days are those of the study.
STUDY = {"POLLUX_STUDY": "complete_journey"}
DAY = 705
BASKETS_KEPT = 10
# Beyond those of any copy of a basket.
OWN_BASKETS = 10**18
BASKETS_APART = 10**12
GROWN_TABLES = ("household_rfm", "household_segments")
START_SECONDS = 120


class LiveSite:
    """The household domain of an installation, released; `keys` are its households.

    `bought` counts the purchases that were made of each household.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: ServingStore = open_serving_store(settings)
        self.bought: Counter[int] = Counter()
        self.numbers = itertools.count(1)
        self._folder = settings.releases_dir / "household" / "r1" / "live"
        self._built = settings.data_dir / "built"
        shutil.copytree(self._folder, self._built)
        with self.store.connect() as connection:
            # Of an event service that has run.
            prepare_database(connection, self.store)
            found = connection.execute("select household_key from household__r1.household_rfm")
            self._first = sorted(key for (key,) in found.fetchall())
        self._copies = 1
        with self.store.connect() as connection:
            query = "select product_id from household__r1.products order by 1 limit 1"
            ((self.product,),) = connection.execute(query).fetchall()

    def resize(self, households: int) -> None:
        """Makes them so many, or a few more, and not fewer than the build has."""
        copies = math.ceil(households / len(self._first))
        plan = read_plan(self._built)
        files = [f"{name}{SUFFIX}" for name, key in plan.customers.items() if key == plan.key]
        for name in [*files, NEIGHBOURS_FILE]:
            self._copy_lines(name, plan.key, copies)
        with self.store.connect(autocommit=True) as connection:
            for table in GROWN_TABLES:
                name = f"household__r1.{table}"
                (first, *others) = connection.execute(f"select * from {name} limit 0").description
                assert first.name == plan.key
                columns = ", ".join(f'"{one.name}"' for one in others)
                connection.execute(f"delete from {name} where {plan.key} > {copies * self._apart}")
                connection.execute(
                    f"insert into {name} ({plan.key}, {columns}) "
                    f"select {plan.key} + copy * {self._apart}, {columns} "
                    f"from {name} cross join generate_series({self._copies}, {copies - 1}) as copy "
                    f"where {plan.key} <= {self._apart}"
                )
                connection.execute(f"vacuum (full, analyze) {name}")
        self._copies = copies

    def choose(self, count: int) -> Iterator[int]:
        """Households from all over, each once before any comes again."""
        chance = random.Random(count)
        places = range(len(self._first) * self._copies)
        chosen = chance.sample(places, min(count, len(places)))
        for place in itertools.cycle(chosen):
            copy, first = divmod(place, len(self._first))
            yield self._first[first] + copy * self._apart

    @property
    def _apart(self) -> int:
        return self._first[-1]

    def _copy_lines(self, name: str, key: str, copies: int) -> None:
        """Copies lines by customer; each copy has greater keys, so they stay sorted."""
        path = self._folder / name
        lines = open_lines(self._built / name).read_all()
        # Who has lines only, and is not in scope, would be in every copy's way.
        lines = lines.filter(pc.less_equal(lines[key], self._apart))
        successor = path.with_suffix(".new")
        copied = (
            batch
            for copy in range(copies)
            for batch in _moved(lines, key, copy * self._apart, copy * BASKETS_APART).to_batches()
        )
        write_lines(successor, key, pa.RecordBatchReader.from_batches(lines.schema, copied))
        successor.replace(path)


def _moved(lines: pa.Table, key: str, by: int, baskets_by: int) -> pa.Table:
    """Lines whose keys are greater by a number, and whose baskets are others."""
    for name, more in ((key, by), ("basket_id", baskets_by)):
        if name in lines.column_names:
            place = lines.column_names.index(name)
            moved = pc.add(lines[name], pa.scalar(more, lines[name].type))
            lines = lines.set_column(place, lines.schema.field(name), moved)
    return lines


@contextmanager
def live_site(scale: float) -> Iterator[LiveSite]:
    """A site of the sample at a scale, with a tenth of its baskets; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "data", database_url=None)
        files = Path(folder) / "files"
        generate("household", files, scale=scale, seed=1)
        lines, kept = files / "transaction_data.csv", files / "kept.csv"
        with duckdb.connect() as engine:
            scan = scan_csv(lines, {"all_varchar": "true"})
            engine.execute(
                f"copy (from {scan} "
                f"where basket_id::bigint % {BASKETS_KEPT} = 0) to '{kept}' (header)"
            )
        kept.replace(lines)
        run_pollux(settings.data_dir, "load", "--domain", "household", "--from", str(files))
        run_pollux(settings.data_dir, "build", "--domain", "household", **STUDY)
        shutil.rmtree(files)
        site = LiveSite(settings)
        assert site.store.embedded is not None
        try:
            yield site
        finally:
            site.store.embedded.stop()
            site.store.embedded.leave()
            # For root and for long paths it is not under the data folder.
            shutil.rmtree(site.store.embedded.home, ignore_errors=True)


class Service:
    """A process of a service, and its URL."""

    def __init__(self, process: psutil.Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def memory_mib(self) -> float:
        """What it holds in memory now."""
        return float(self.process.memory_info().rss / 2**20)


@contextmanager
def serving(settings: Settings, *names: str, **environment: str) -> Iterator[dict[str, Service]]:
    """Services, as `pollux serve` starts them, once they are up."""
    ports = {name: free_port() for name in names}
    variables = os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        **{f"POLLUX_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **environment,
    }
    with ExitStack() as stack:
        found = {}
        for name in names:
            command = [sys.executable, "-m", "cli.main", "serve", name]
            process = subprocess.Popen(command, env=variables)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            url = f"http://127.0.0.1:{ports[name]}"
            found[name] = Service(psutil.Process(process.pid), url)
        for service in found.values():
            _wait(f"{service.url}/healthz")
        yield found


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url).status_code == HTTPStatus.OK:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer")
        time.sleep(0.1)
