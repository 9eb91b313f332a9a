"""Installations of the sample, each made once per run, by the first worker that asks, and copied.

`landed` holds the files of every domain, `everything` is built from it by DuckDB and released,
`household` is that domain alone, for tests that change or release it; `trained` has a model.
"""

import hashlib
import itertools
import pprint
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgpack
from filelock import FileLock

from orchestration.build import build
from orchestration.learn.recommend.land import learn_if_due
from orchestration.load.declarations import LEARNED
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.dbt import target_dir
from orchestration.transform.landed import compile_for_duckdb, compiled_path
from orchestration.transform.manifest import prepare_manifest
from orchestration.transform.record import read_record
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.recommend.learned import learned_dir
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from sample.generate import generate
from sample.store import generate_store
from tests.support.clusters import copy_as_is
from tests.support.dirt import soil
from tests.support.live_events import live_events, make_events_schema, take_in

# 20,000 accounts, 50 households, 500 members, 20 customers of the shop.
SCALES = {"customer": 0.01, "household": 0.02, "loyalty": 0.1, "store": 0.02}
# One of so many promotion rows is kept.
CAUSAL_KEPT = 10
PARSED = "partial_parse.msgpack"


class Prepared:
    """Installations prepared in a run, in a folder that its workers share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def samples(self) -> dict[str, Path]:
        """The raw files by domain."""
        return {domain: self._once("samples", _make_samples) / domain for domain in SCALES}

    def land(self, data_dir: Path, *domains: str, engine: str = "duckdb") -> Settings:
        """A new installation in which some or all domains have landed."""
        source = Settings(data_dir=self._landed())
        for domain in [*(domains or SCALES), LEARNED]:
            shutil.copytree(source.landing_dir / domain, data_dir / "landing" / domain)
        shutil.copytree(learned_dir(source), learned_dir(Settings(data_dir=data_dir)))
        _copy_compiled(source, data_dir)
        if engine == "duckdb":
            return self.empty(data_dir)
        return Settings(data_dir=data_dir, engine=engine, database_url=None)

    def empty(self, data_dir: Path) -> Settings:
        """An installation without data, whose first build need not parse the dbt project.

        Nor does it compile the models to learn.
        """
        settings = Settings(data_dir=data_dir, database_url=None)
        self.spare_parsing(settings)
        return settings

    def spare_parsing(self, settings: Settings, *, moves: bool = False) -> None:
        """Gives an installation without builds the dbt project as it was read and compiled.

        `moves` says that its window moves with its data.
        """
        source = self.everything()
        if moves:
            source = Settings(data_dir=self._once("compiled", _compile), database_url=None)
        target_dir(settings).mkdir(parents=True)
        shutil.copy(target_dir(source) / PARSED, target_dir(settings))
        _move_parsed(source, settings)
        _copy_compiled(source, settings.data_dir)

    def everything(self) -> Settings:
        """Every domain, built on DuckDB and released; tests must not change it."""
        return Settings(data_dir=self._once("everything", self._make_everything), database_url=None)

    def household(self) -> Settings:
        """The household domain, built on DuckDB and released; tests must not change it."""
        return Settings(data_dir=self._once("household", self._make_household), database_url=None)

    def compiled(self) -> dict[str, Any]:
        """The models as dbt compiles them for DuckDB, of a shop whose window moves with its data.

        Each call reads its own.
        """
        return _compile(self._once("compiled", _compile))

    def trained(self) -> Path:
        """A data folder with a promoted model of coupon propensity, and the raw `files` of it."""
        return self._once("trained", _make_trained)

    def copy(self, source: Settings, data_dir: Path, *, released: bool = True) -> Settings:
        """A copy of one of these that a test may change, with or without its releases."""
        settings = _copy_built(source, data_dir)
        if released:
            shutil.copytree(source.releases_dir, settings.releases_dir, symlinks=True)
            server = EmbeddedPostgres(data_dir)
            server._make_home()
            copy_as_is(source.data_dir.with_suffix(".cluster"), server.cluster)
        return settings

    def _landed(self) -> Path:
        return self._once("landed", self._make_landed)

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        """A folder that the first worker makes and all others wait for."""
        folder, done = self.folder / name, self.folder / f"{name}.done"
        if not done.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f"{name}.lock"):
                if not done.exists():
                    # Left by a worker that failed to make it.
                    shutil.rmtree(folder, ignore_errors=True)
                    make(folder)
                    done.touch()
        return folder

    def _make_landed(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, database_url=None)
        for domain, files in self.samples().items():
            report = load(settings, domain=domain, from_=files, sample=True)
            assert all(file.rows_rejected == 0 for file in report.files)
        assert learn_if_due(settings)

    def _make_everything(self, folder: Path) -> None:
        shutil.copytree(self._landed(), folder)
        settings = Settings(data_dir=folder, database_url=None)
        with open_serving_store(settings).connect() as connection:
            make_events_schema(connection)
            for table, rows in live_events(self.samples()).items():
                take_in(connection, table, rows)
        build(settings, list(SCALES)).raise_if_failed()
        for domain in SCALES:
            release(settings, domain)
        prepare_manifest(settings)
        _keep_cluster(folder)

    def _make_household(self, folder: Path) -> None:
        settings = _copy_built(self.everything(), folder)
        for domain in SCALES.keys() - {"household"}:
            record = read_record(settings, domain)
            assert record is not None
            with duckdb.connect(settings.warehouse_path) as warehouse:
                for table in record.tables:
                    warehouse.execute(f"drop table {table.schema}.{table.name}")
            (settings.data_dir / "builds" / f"{domain}.json").unlink()
            shutil.rmtree(settings.landing_dir / domain)
        shutil.rmtree(settings.landing_dir / "events")
        release(settings, "household")
        _keep_cluster(folder)


def _copy_compiled(source: Settings, data_dir: Path) -> None:
    """Copies the models as they are compiled to learn; they name no folder that is read."""
    kept = compiled_path(Settings(data_dir=data_dir))
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(compiled_path(source), kept)


def _keep_cluster(folder: Path) -> None:
    """Keeps the database in its present state; its server may then run for readers."""
    server = EmbeddedPostgres(folder)
    server.stop()
    copy_as_is(server.cluster, folder.with_suffix(".cluster"))


def _make_samples(folder: Path) -> None:
    for domain, scale in SCALES.items():
        generate(domain, folder / domain, scale=scale, seed=1)
    # The number of promotions is the same at any scale.
    causal = folder / "household" / "causal_data.csv"
    with causal.open() as lines:
        header, *rows = itertools.islice(lines, 0, None, CAUSAL_KEPT)
    causal.write_text("".join([header, *rows]))
    soil({domain: folder / domain for domain in SCALES})


def _compile(folder: Path) -> dict[str, Any]:
    return compile_for_duckdb(Settings(data_dir=folder, database_url=None))


def _make_trained(folder: Path) -> None:
    from orchestration.learn.propensity.pairs import read_pairs  # noqa: PLC0415
    from orchestration.learn.propensity.training import train_on  # noqa: PLC0415
    from tests.support.histories import open_sample  # noqa: PLC0415

    generate_store(folder / "files", scale=SCALES["store"], seed=1)
    with open_sample(folder / "files") as history:
        pairs = read_pairs(history)
    train_on(Settings(data_dir=folder), pairs, data="sample", seed=1)


def _copy_built(source: Settings, data_dir: Path) -> Settings:
    """Copies the landed and built files, without releases."""
    data_dir.mkdir(parents=True)
    for name in ("landing", "builds", "dbt", "dagster"):
        shutil.copytree(source.data_dir / name, data_dir / name)
    shutil.copy(source.warehouse_path, data_dir)
    settings = Settings(data_dir=data_dir, database_url=None)
    _move_parsed(source, settings)
    return settings


def _move_parsed(source: Settings, settings: Settings) -> None:
    """Makes dbt's parsed project of `source` valid for `settings`.

    dbt parses the whole project again where the profile differs, as it does with another warehouse
    path, and half of it where the data folder differs, which the sources name. If dbt changes how
    it hashes the profile, it parses again, which is only slower.
    """
    path = target_dir(settings) / PARSED
    parsed = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    profile = parsed["state_check"]["profile_hash"]
    if profile["checksum"] == _hash_of_profile(source):
        profile["checksum"] = _hash_of_profile(settings)
        moved = _replaced(parsed, str(source.data_dir), str(settings.data_dir))
        path.write_bytes(msgpack.packb(moved))


def _replaced(value: Any, old: str, new: str) -> Any:
    """A document with a text in place of another, wherever it stands."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [_replaced(one, old, new) for one in value]
    if isinstance(value, dict):
        return {name: _replaced(one, old, new) for name, one in value.items()}
    return value


def _hash_of_profile(settings: Settings) -> str:
    profile = {
        "attach": None,
        "config_options": {"memory_limit": "3GB", "preserve_insertion_order": False},
        "database": "warehouse",
        "disable_transactions": False,
        "extensions": None,
        "external_root": ".",
        "filesystems": None,
        "path": str(settings.warehouse_path),
        "plugins": None,
        "remote": None,
        "schema": "warehouse",
        "settings": {},
        "use_credential_provider": None,
    }
    return hashlib.sha256(pprint.pformat(list(profile.items())).encode()).hexdigest()
