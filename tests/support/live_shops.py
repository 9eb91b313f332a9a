"""An installation of one domain that a test builds, releases and checks within seconds.

Loads, events, releases, erasures and the updater are the product's own. Only dbt is left out of a
build: DuckDB runs the SQL that dbt has compiled, of all models that live marts are made of.

What is to be answered is told by a build of everything in another folder: of the files of the
release that is served, of all events, and with what that release gives all customers.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry
from pyarrow import feather

from orchestration.load import landing
from orchestration.load.declarations import LEARNED, read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.event_datasets import events_fingerprint, feeding, last_event
from orchestration.load.events import land_events
from orchestration.release import registry
from orchestration.release.publish import release
from orchestration.scans import literal, scan_parquet, scan_parts
from orchestration.transform.dbt import DbtRun, dbt_command, dbt_environment, run_dbt
from orchestration.transform.graph import all_marts, served_tables
from orchestration.transform.live import live_of
from orchestration.transform.live_files import write_live_files
from orchestration.transform.record import BuildRecord, write_record
from pollux.runtime.live import FOLLOWED
from pollux.runtime.live_models import LiveModels
from pollux.runtime.postgres import OWNER, EmbeddedPostgres
from pollux.runtime.recommend.learned import NEIGHBOURS_FILE, learned_dir, read_learned
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.warehouse import lock_warehouse
from services.events.database.migrate import prepare_database
from services.live.metrics import LiveMetrics
from services.live.updater import Updater

# What concerns all customers, which live rows take from the release.
POPULATION = ("int_days_completed", "int_fifths_bounded", "int_summaries_numbered")
LIVE_DAYS = "int_live_days_given"
# What a household's recommendations are made of, and where they land.
PURCHASES = "int_purchases_recommendable"
RECOMMENDATIONS = "product_recommendations"

Manifest = Mapping[str, Any]
Rows = set[tuple[Any, ...]]


class Shop:
    """A domain of an installation whose database is a server's; `kept` is where builds are kept."""

    def __init__(self, settings: Settings, domain: str, manifest: Manifest, kept: Path) -> None:
        self.settings = settings
        self.domain = domain
        self.followed = FOLLOWED[domain]
        self.table = f"events.{self.followed.table}"
        self.erased: set[int] = set()
        self.kept = kept
        self._manifest = manifest
        live_marts = _live_marts(manifest, domain)
        self._closure = _closure(manifest, [node["unique_id"] for node in live_marts])
        self.marts = [node["name"] for node in live_marts]
        self.store = open_serving_store(settings)
        with self.store.connect() as connection:
            prepare_database(connection, self.store)
            registry.prepare_store(connection, self.store)

    def build(self) -> None:
        """Builds the live marts of all that is there."""
        land_events(self.settings, feeding([self.domain]))
        ensure_empty_parts(self.settings, read_datasets(PROJECT_DIR).values())
        tables = served_tables(self._manifest, self.domain)
        record = BuildRecord(
            domain=self.domain,
            engine="duckdb",
            status="running",
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            invocation_id=str(uuid4()),
            landing=landing.fingerprint(self.settings, self.domain),
            events=events_fingerprint(self.settings, self.domain),
            last_event=last_event(self.settings, self.domain),
            tables=tuple(table for table in tables if table.name in self.marts),
        )
        write_record(self.settings, record)
        with lock_warehouse(self.settings, "a build"), landing.locked(self.settings):
            with duckdb.connect(self.settings.warehouse_path) as warehouse:
                self._evaluate(warehouse, self.settings.landing_dir, {}, self._closure)
                for table in record.tables:
                    name = f"{table.schema}.{table.name}"
                    warehouse.execute(f"comment on table {name} is '{record.invocation_id}'")
            run = DbtRun(record.invocation_id, (), dict(self._manifest))
            write_live_files(self.settings, run, [self.domain], None)
            self.keep(record.invocation_id)
        write_record(self.settings, replace(record, status="passed"))

    def keep(self, invocation: str) -> None:
        """Keeps the files of the last build, what it gives all customers, and its live marts."""
        unfinished = self.kept / f".{invocation}"
        shutil.copytree(
            self.settings.landing_dir / self.domain,
            unfinished / "landing" / self.domain,
            copy_function=os.link,
        )
        with duckdb.connect(self.settings.warehouse_path, read_only=True) as warehouse:
            for node in self._nodes(*POPULATION, *self._seeds(), *self.marts):
                rows = warehouse.sql(f"from {node['relation_name']}").to_arrow_table()
                pq.write_table(rows, unfinished / f"{node['name']}.parquet")
        unfinished.rename(self.kept / invocation)

    def release(self) -> int:
        """Releases the last build; returns the release's number."""
        return release(self.settings, self.domain, accept_shrinking=True).number

    def served(self, mart: str) -> Rows:
        """What is answered by a live mart: of a customer the live rows, or the release's."""
        key, live = self.followed.key, f"{self.domain}__live"
        with self.store.connect() as connection:
            number = registry.current_number(connection, self.domain)
            newer = f"{key} in (select {key} from {live}.live_customers)"
            released = f"select * from {self.domain}__r{number}.{mart} where not {newer}"
            rows = _fetch(connection, f"{released} union all select * from {live}.{mart}")
            assert _fetch(connection, f"select from {live}.{mart} where not {newer}") == []
        found = set(rows)
        assert len(rows) == len(found), mart
        return found

    @contextmanager
    def expected(self, *, by_dbt: bool = False) -> Iterator[Callable[[str], Rows]]:
        """What each live mart is to answer once the updater has read all events.

        dbt may build it, too.
        """
        with self.store.connect() as connection:
            ((number, invocation, last, day),) = _fetch(
                connection,
                "select release, dbt_invocation, last_event, live_day from live.followed "
                "inner join release.live "
                "on live.domain = followed.domain and live.number = followed.release "
                "inner join release.releases "
                "on releases.domain = followed.domain and releases.number = followed.release "
                f"where followed.domain = '{self.domain}'",
            )
            touched = self._touched(connection, last)
        kept = self.kept / invocation
        given = {
            node["name"]: pq.read_table(kept / f"{node['name']}.parquet")
            for node in self._nodes(*POPULATION, *self._seeds())
        }
        given[LIVE_DAYS] = pa.table({"day": pa.array([day] if day else [], pa.int32())})
        everything = self._land_everything(kept)
        if RECOMMENDATIONS in self.marts:
            self._recommend(everything, given, number, touched, day)
        nodes = {node["name"]: node for node in self._nodes(*self.marts)}
        key = self.followed.key

        def of(mart: str) -> Rows:
            chosen = f"where {key} {{}} (select unnest($1::bigint[]))"
            live = f"from {nodes[mart]['relation_name']} {chosen.format('in')}"
            others = f"from read_parquet('{kept}/{mart}.parquet') {chosen.format('not in')}"
            keys = [*touched - self.erased], [*touched | self.erased]
            rows = engine.execute(live, keys[:1]).fetchall()
            return {*rows, *engine.execute(others, keys[1:]).fetchall()}

        with self._built(everything, given, by_dbt=by_dbt) as engine:
            yield of

    def assert_equal(self, *, by_dbt: bool = False) -> dict[str, int]:
        """Fails unless what is answered is what a build of everything gives; rows by mart."""
        rows = {}
        with self.expected(by_dbt=by_dbt) as expected:
            for mart in self.marts:
                wanted, served = expected(mart), self.served(mart)
                assert wanted, mart
                missing, more = wanted - served, served - wanted
                told = {"mart": mart, "missing": sorted(missing)[:2], "more": sorted(more)[:2]}
                assert not missing | more, told
                rows[mart] = len(wanted)
        return rows

    def _touched(self, connection: psycopg.Connection, last: int) -> set[int]:
        """Whom events concern that are newer than the release, those of their orders, too.

        And who has live rows: an event may have been erased since.
        """
        key, named = self.followed.key, self.followed.order or self.followed.key
        newer = f"select {named} from {self.table} where number > {last}"
        query = f"select {key} from {self.table} where {named} in ({newer})"
        query += f" union select {key} from {self.domain}__live.live_customers"
        return {one for (one,) in _fetch(connection, query)}

    def _land_everything(self, kept: Path) -> Settings:
        """Lands the files of a kept build and all events in a folder of their own."""
        everything = self.settings.model_copy(update={"data_dir": self.kept.parent / "everything"})
        for domain, name in ((self.domain, ""), ("events", self.followed.table)):
            shutil.rmtree(everything.landing_dir / domain / name, ignore_errors=True)
        shutil.copytree(kept / "landing" / self.domain, everything.landing_dir / self.domain)
        land_events(everything, feeding([self.domain]))
        ensure_empty_parts(everything, read_datasets(PROJECT_DIR).values())
        return everything

    def _recommend(
        self,
        everything: Settings,
        given: Mapping[str, pa.Table],
        number: int,
        touched: set[int],
        day: int | None,
    ) -> None:
        """Lands recommendations from all purchases, and what a release has learned."""
        (purchases,) = self._nodes(PURCHASES)
        with duckdb.connect() as engine:
            engine.execute("attach ':memory:' as warehouse")
            closure = _closure(self._manifest, [purchases["unique_id"]])
            self._evaluate(engine, everything.landing_dir, given, closure)
            lines = engine.sql(
                f"from {purchases['relation_name']} "
                "where household_key in (select unnest($1::bigint[]))",
                params=[[*touched]],
            ).to_arrow_table()
        folder = self.settings.releases_dir / self.domain / f"r{number}" / "live"
        neighbours = feather.read_table(folder / NEIGHBOURS_FILE)
        rows = read_learned(folder).recommend(lines, neighbours, day)
        landed = everything.landing_dir / LEARNED / RECOMMENDATIONS
        shutil.rmtree(landed, ignore_errors=True)
        landed.mkdir(parents=True)
        pq.write_table(rows, landed / "part.parquet")

    @contextmanager
    def _built(
        self, everything: Settings, given: Mapping[str, pa.Table], *, by_dbt: bool
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """All live marts of everything, with what is given to all customers."""
        if by_dbt:
            self._build_by_dbt(everything, given)
            with duckdb.connect(everything.warehouse_path, read_only=True) as engine:
                yield engine
            return
        with duckdb.connect() as engine:
            engine.execute("attach ':memory:' as warehouse")
            self._evaluate(engine, everything.landing_dir, given, self._closure)
            yield engine

    def _build_by_dbt(self, everything: Settings, given: Mapping[str, pa.Table]) -> None:
        """Makes the live marts by dbt, of whose models those given are left out."""
        shutil.copy(self.settings.warehouse_path, everything.warehouse_path)
        with duckdb.connect(everything.warehouse_path) as engine:
            for node in self._nodes(*given):
                kind = node["config"]["materialized"]
                if kind == "view":
                    (day,) = given[node["name"]]["day"].to_pylist() or ["cast(null as integer)"]
                    rows = f"select {day} as day where {day} is not null"
                else:
                    engine.register("given", given[node["name"]])
                    rows = "from given"
                replaced = "view" if kind == "view" else "table"
                engine.execute(f"create or replace {replaced} {node['relation_name']} as {rows}")
        selected = [f"+{mart}" for mart in self.marts]
        command = dbt_command(
            *("run", "--select", *selected, "--exclude", *POPULATION, LIVE_DAYS), target="duckdb"
        )
        problem = run_dbt(command, dbt_environment(everything, None))
        assert problem is None, problem

    def _evaluate(
        self,
        engine: duckdb.DuckDBPyConnection,
        landing_dir: Path,
        given: Mapping[str, pa.Table],
        closure: Sequence[str],
    ) -> None:
        """Makes models in the catalog `warehouse`, in order; those given are not evaluated."""
        nodes = self._manifest["nodes"]
        sources = self._manifest["sources"]
        for schema in {nodes[one]["schema"] for one in closure if one in nodes}:
            engine.execute(f"create schema if not exists warehouse.{schema}")
        for unique_id in closure:
            node = nodes.get(unique_id)
            if node is None:
                continue
            relation = node["relation_name"]
            if node["name"] in given:
                engine.register("given", given[node["name"]])
                engine.execute(f"create table {relation} as from given")
                engine.unregister("given")
            elif node["resource_type"] == "model":
                sql = node["compiled_code"]
                for parent in node["depends_on"]["nodes"]:
                    if parent in sources:
                        source = sources[parent]
                        folder = landing_dir / source["source_name"] / source["name"]
                        sql = sql.replace(source["relation_name"], scan_parts(folder))
                kind = "view" if node["config"]["materialized"] == "view" else "table"
                engine.execute(f"create or replace {kind} {relation} as {_typed(node, sql)}")

    def _seeds(self) -> list[str]:
        return [one.split(".")[2] for one in self._closure if one.startswith("seed.")]

    def _nodes(self, *names: str) -> list[Mapping[str, Any]]:
        nodes = self._manifest["nodes"]
        found = [nodes[one] for one in self._closure if one in nodes]
        return [node for node in found if node["name"] in names]


class Follower:
    """An updater of a shop, step by step; `meanwhile` is done while it computes, once each.

    What a step begins to write is written while the next is taken, or something else is done.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.meanwhile: list[Callable[[], None]] = []
        self._failures: list[Exception] = []
        self._updater = Updater(
            shop.settings, shop.store, LiveMetrics(CollectorRegistry()), self._open
        )

    def step(self) -> bool:
        """Computes the next customers; returns whether there were any."""
        updating = self._updater.update(self._shop.domain)
        is_busy = asyncio.run_coroutine_threadsafe(updating, self._loop).result()
        # To the updater it would be a failure of the models.
        for failure in self._failures:
            raise failure
        return is_busy

    def settle(self) -> None:
        """Computes until nothing is left to do."""
        while self.step():
            pass
        assert self._updater.problems == {}

    def close(self) -> None:
        """Ends in the middle of what is being written."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        self._updater.close()

    def _open(self, folder: Path) -> LiveModels:
        return _Interrupted(folder, self._interrupt)

    def _interrupt(self) -> None:
        while self.meanwhile:
            try:
                self.meanwhile.pop(0)()
            except Exception as failure:
                self._failures.append(failure)


class _Interrupted(LiveModels):
    def __init__(self, folder: Path, interrupt: Callable[[], None]) -> None:
        super().__init__(folder)
        self._interrupt = interrupt

    def compute(
        self, keys: Sequence[int], lines: pa.Table | None, live_day: int | None
    ) -> dict[str, pa.Table]:
        found = super().compute(keys, lines, live_day)
        self._interrupt()
        return found


class Shops:
    """Makes equal shops, one after the other: copies of one that has its first release.

    `source` is an installation in which the domain has landed, and `warehouse` has the seeds of its
    models; `manifest` has them compiled.
    """

    def __init__(
        self, source: Settings, warehouse: Path, domain: str, manifest: Manifest, folder: Path
    ) -> None:
        self._domain = domain
        self._manifest = manifest
        self._folder = folder
        self._kept = folder / "kept"
        self._kept.mkdir(parents=True)
        self._server = EmbeddedPostgres(folder / "server")
        self._server.use()
        first = self._settings("first")
        shutil.copytree(source.landing_dir / domain, first.landing_dir / domain)
        shutil.copytree(source.landing_dir / LEARNED, first.landing_dir / LEARNED)
        shutil.copytree(learned_dir(source), learned_dir(first))
        shutil.copy(warehouse, first.warehouse_path)
        _own(first, domain)
        self._execute("create database first")
        self._first = first
        shop = Shop(first, domain, manifest, self._kept)
        shop.build()
        shop.release()

    @property
    def server(self) -> EmbeddedPostgres:
        """The server of all."""
        return self._server

    @contextmanager
    def shop(self) -> Iterator[Shop]:
        """A shop, gone afterwards."""
        settings = self._settings("shop")
        shutil.copytree(self._first.data_dir, settings.data_dir, symlinks=True)
        before = {*self._kept.iterdir()}
        self._execute("create database shop template first")
        try:
            yield Shop(settings, self._domain, self._manifest, self._kept)
        finally:
            self._execute("drop database shop with (force)")
            for folder in {*self._kept.iterdir()} - before:
                shutil.rmtree(folder)
            shutil.rmtree(settings.data_dir)

    def close(self) -> None:
        """Stops the server."""
        self._server.stop()
        self._server.leave()
        shutil.rmtree(self._server.home, ignore_errors=True)

    def _settings(self, name: str) -> Settings:
        url = self._server.url(user=OWNER, database=name)
        return Settings(data_dir=self._folder / name, database_url=url, api_keys="")

    def _execute(self, statement: str) -> None:
        url = self._server.url(user=OWNER, database=OWNER)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _own(settings: Settings, domain: str) -> None:
    """Makes what has landed files of the shop's own: a sample's window does not move with it."""
    with duckdb.connect() as engine:
        for part in landing.domain_parts(settings, domain):
            metadata = pq.read_metadata(part.path).metadata[landing.METADATA_KEY.encode()]
            note = json.dumps(json.loads(metadata) | {"sample": False})
            own = part.path.with_suffix(".own")
            engine.execute(
                f"copy (from {scan_parquet([part.path])}) to {literal(str(own))} "
                f"(format parquet, kv_metadata {{{landing.METADATA_KEY}: {literal(note)}}})"
            )
            own.replace(part.path)


def _live_marts(manifest: Manifest, domain: str) -> list[Mapping[str, Any]]:
    found = [node for node in all_marts(manifest) if node["fqn"][2] == domain]
    return [node for node in found if live_of(node) is not None]


def _closure(manifest: Manifest, models: Sequence[str]) -> list[str]:
    """Models and all that they are made of, from the sources on."""
    order: list[str] = []

    def walk(unique_id: str) -> None:
        if unique_id in order or unique_id.startswith("test."):
            return
        if unique_id.startswith("model."):
            for parent in manifest["nodes"][unique_id]["depends_on"]["nodes"]:
                walk(parent)
        order.append(unique_id)

    for model in models:
        walk(model)
    return order


def _typed(node: Mapping[str, Any], sql: str) -> str:
    """A model's SQL with the types of its contract, in its order."""
    if not node["config"]["contract"]["enforced"]:
        return str(sql)
    columns = node["columns"].items()
    casts = ", ".join(
        f"cast({name} as {column['data_type']}) as {name}" for name, column in columns
    )
    return f"select {casts} from ({sql}\n)"


def _fetch(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()
