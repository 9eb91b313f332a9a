"""The marts, row by row: one engine against the others, and all against a plain pandas port."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from pydantic import SecretStr

from orchestration.build import build
from orchestration.load.declarations import Dataset, read_datasets
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.dbt import dbt_environment, read_run, target_dir
from orchestration.transform.graph import ServedTable, served_tables
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark_connect import SparkServer
from services.api.app import create_app
from tests.conftest import PROJECT_DIR
from tests.oracles.customer import customer_marts
from tests.oracles.household import household_marts, household_seeds
from tests.oracles.loyalty import loyalty_marts
from tests.oracles.store import store_marts
from tests.services.api.support import PUBLISHED, client_of
from tests.support.installations import Prepared
from tests.support.live_events import live_events, make_events_schema, take_in
from tests.support.own_postgres import new_database, own_server
from tests.support.spark import run_dbt_on_spark

pytestmark = pytest.mark.integration

RATIO_TOLERANCE = 1e-9

Raw = Mapping[str, Any]
Marts = dict[str, pd.DataFrame]


def household_by_pandas(raw: Raw) -> Marts:
    return household_marts(raw, **household_seeds(PROJECT_DIR / "seeds"))


PORTS: dict[str, Callable[[Raw], Marts]] = {
    "customer": customer_marts,
    "household": household_by_pandas,
    "loyalty": loyalty_marts,
    "store": store_marts,
}
# Where a domain's real files are; of the customer domain there are only assignments.
REAL = {
    "customer": "voucher_assignments",
    "household": "complete_journey",
    "loyalty": "promotions",
    "store": "store",
}
REAL_FILES = pytest.param("real", marks=pytest.mark.endurance)
WITHOUT_REAL_ROWS = {"customers", "customer_broadband", "customer_initial_services"}
WITHOUT_REAL_ROWS |= {"customer_cashback", "coupon_offers"}
LEARNED = {"product_recommendations"}
# What a blank or a number would otherwise be read as.
TEXT = {"display": str, "mailer": str, "HOUSEHOLD_SIZE_DESC": str}


@dataclass(frozen=True)
class Source:
    """Folders of raw files by domain, and what builds and releases them on an engine, once."""

    kind: str
    folders: dict[str, Path]
    live: dict[str, list[dict[str, Any]]]
    installation: Callable[[str], Settings]


@pytest.fixture(scope="module")
def own_database() -> Iterator[str | None]:
    """A database on the oldest server that Pollux takes, where there is one."""
    with own_server() as server:
        if server is None:
            yield None
        else:
            with new_database(server) as url:
                yield url


@pytest.fixture(scope="module", params=["sample", REAL_FILES])
def source(
    request: pytest.FixtureRequest,
    prepared: Prepared,
    short_tmp: Path,
    own_database: str | None,
) -> Source:
    if request.param == "sample":
        folders = prepared.samples()
        # Real files are held to their own figures, below.
        live = live_events(folders)
    else:
        realdata = request.getfixturevalue("realdata")
        folders, live = {domain: realdata / name for domain, name in REAL.items()}, {}
    done: dict[str, Settings] = {}

    def make(engine: str) -> Settings:
        data_dir = short_tmp / f"{request.param}_{engine}"
        if request.param == "real":
            settings = (
                prepared.empty(data_dir)
                if engine == "duckdb"
                else Settings(data_dir=data_dir, engine=engine, database_url=None)
            ).model_copy(update={"study": "complete_journey"})
            if engine == "duckdb":
                for domain, folder in folders.items():
                    report = load(settings, domain=domain, from_=folder)
                    assert all(file.rows_rejected == 0 for file in report.files)
            else:
                # The files that landed, and what was learned from them.
                shutil.copytree(installation("duckdb").landing_dir, settings.landing_dir)
        elif engine == "duckdb":
            return prepared.everything()
        else:
            settings = prepared.land(data_dir, engine=engine)
            if own_database:
                settings = settings.model_copy(update={"database_url": SecretStr(own_database)})
        with open_serving_store(settings).connect() as connection:
            make_events_schema(connection)
            for table, rows in live.items():
                take_in(connection, table, rows)
        build(settings, sorted(folders)).raise_if_failed()
        for domain in folders:
            release(settings, domain)
        return settings

    def installation(engine: str) -> Settings:
        if engine not in done:
            done[engine] = make(engine)
        return done[engine]

    return Source(request.param, folders, live, installation)


def released(settings: Settings, domain: str) -> dict[str, tuple[ServedTable, pd.DataFrame]]:
    """The current release of a domain, read from its Parquet."""
    folder = settings.releases_dir / domain / "current"
    tables = served_tables(read_run(target_dir(settings)).manifest, domain)
    return {
        table.name: (table, duckdb.read_parquet(f"{folder}/{table.name}.parquet").df())
        for table in tables
    }


@dataclass(frozen=True)
class OnSpark:
    """dbt on a Spark server, from the files that landed for DuckDB; each command has a folder."""

    server: SparkServer
    landed: Settings
    artifacts: Path

    def run(self, name: str, *arguments: str) -> Path:
        """Runs a command that passes; returns the folder of its artifacts."""
        folder = self.artifacts / name
        done = run_dbt_on_spark(
            self.server,
            folder,
            *(name, "--target", "spark", *arguments),
            POLLUX_STUDY=dbt_environment(self.landed, None)["POLLUX_STUDY"],
            POLLUX_LANDING_URL=str(self.landed.landing_dir),
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return folder


@pytest.fixture(scope="module")
def on_spark(
    source: Source, spark_server: SparkServer, tmp_path_factory: pytest.TempPathFactory
) -> OnSpark:
    landed = source.installation("duckdb")
    return OnSpark(spark_server, landed, tmp_path_factory.mktemp("spark"))


@pytest.fixture(scope="module")
def lake(on_spark: OnSpark) -> Path:
    """The tables that Spark builds."""
    artifacts = on_spark.run("build", "--resource-type", "seed", "--resource-type", "model")
    (folder,) = (artifacts / "lake").iterdir()
    assert folder.name == read_run(artifacts).invocation_id
    return folder


def in_lake(folder: Path, tables: Iterable[ServedTable]) -> dict[str, pd.DataFrame]:
    """The marts of a build on Spark, each of them whole."""
    marts = {}
    for table in tables:
        parts = folder / table.schema / table.name
        assert (parts / "_SUCCESS").exists(), table.name
        marts[table.name] = duckdb.read_parquet(f"{parts}/*.parquet").df()
    return marts


def read_raw(dataset: Dataset, folder: Path) -> Any:
    """A dataset as pandas reads its files; lines as a list. Without files, no rows."""
    files = sorted(file for file in folder.iterdir() if dataset.matches(file.name))
    if dataset.format == "lines":
        return [line for file in files for line in file.read_text().splitlines()]
    if not files:
        return pd.DataFrame(columns=[column.name for column in dataset.columns])
    if ".parquet" in files[0].name:
        return pd.concat([pd.read_parquet(file) for file in files])
    is_household = dataset.domain == "household"
    frames = [pd.read_csv(file, dtype=TEXT, keep_default_na=not is_household) for file in files]
    return pd.concat(frames).rename(columns=str.lower)


def assert_equal(table: ServedTable, left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Holds two frames to be the same rows: money to the cent, ratios to 1e-9."""
    names = [column.name for column in table.columns]
    assert list(left.columns) == names, table.name
    assert sorted(right.columns) == sorted(names), table.name
    key = list(table.key)
    left = left.sort_values(key, ignore_index=True)
    right = right[names].sort_values(key, ignore_index=True)
    assert len(left) == len(right), table.name
    for column in table.columns:
        ours, theirs = left[column.name], right[column.name]
        where = f"{table.name}.{column.name}"
        assert (ours.isna() == theirs.isna()).all(), where
        ours, theirs = ours.dropna(), theirs.dropna()
        if column.data_type == "double precision":
            difference = (ours.astype(float) - theirs.astype(float)).abs()
            assert (difference <= RATIO_TOLERANCE * theirs.astype(float).abs()).all(), where
        elif column.data_type.startswith("decimal"):
            cents = [(side.astype(float) * 100).round().astype("int64") for side in (ours, theirs)]
            assert (cents[0] == cents[1]).all(), where
        elif column.data_type == "text":
            assert (ours.astype(str) == theirs.astype(str)).all(), where
        elif column.data_type in {"date", "timestamp"}:
            moments = [pd.to_datetime(side).astype("datetime64[us]") for side in (ours, theirs)]
            assert (moments[0] == moments[1]).all(), where
        else:
            assert (ours.astype("int64") == theirs.astype("int64")).all(), where


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("postgres", marks=pytest.mark.endurance),
        pytest.param("spark", marks=pytest.mark.spark),
    ],
)
@pytest.mark.parametrize("domain", PORTS)
def test_engines_agree(
    source: Source, domain: str, engine: str, request: pytest.FixtureRequest
) -> None:
    on_duckdb = released(source.installation("duckdb"), domain)
    if engine == "spark":
        folder = request.getfixturevalue("lake")
        others = in_lake(folder, (table for table, _ in on_duckdb.values()))
    else:
        other = released(source.installation(engine), domain)
        others = {name: rows for name, (_, rows) in other.items()}
    assert on_duckdb.keys() == others.keys()
    for name, (table, rows) in on_duckdb.items():
        assert len(rows) > 0 or (source.kind == "real" and name in WITHOUT_REAL_ROWS), name
        assert_equal(table, rows, others[name])


@pytest.mark.spark
@pytest.mark.endurance
@pytest.mark.usefixtures("lake")
def test_data_pass_every_test_on_spark(on_spark: OnSpark) -> None:
    run = read_run(on_spark.run("test", "--exclude-resource-type", "unit_test"))
    assert sum(one.unique_id.startswith("test.") for one in run.results) > 200


@pytest.mark.parametrize("domain", PORTS)
def test_marts_are_those_of_the_pandas_port(source: Source, domain: str) -> None:
    raw = {
        dataset.name: read_raw(dataset, source.folders[domain])
        for dataset in read_datasets(PROJECT_DIR).values()
        if dataset.domain == domain
    }
    raw |= {f"live_{table}": rows for table, rows in source.live.items()}
    expected = PORTS[domain](raw)
    marts = released(source.installation("duckdb"), domain)
    # What was learned is held to a plain oracle in test_recommend.py.
    assert marts.keys() - LEARNED == expected.keys()
    for name in expected:
        table, rows = marts[name]
        assert_equal(table, rows, expected[name])


def test_real_files_land_whole(realdata: Path, short_tmp: Path) -> None:
    """As many rows as the files have lines, the header not counted."""
    folder = realdata / "complete_journey"
    settings = Settings(data_dir=short_tmp / "real_counts")
    report = load(settings, domain="household", from_=folder)
    assert len(report.files) == 8
    for file in report.files:
        lines = (folder / file.file).read_bytes().count(b"\n") - 1
        assert (file.rows_read, file.rows_landed, file.rows_rejected) == (lines, lines, 0)


@pytest.mark.parametrize("source", [REAL_FILES], indirect=True)
def test_every_real_voucher_row_is_accounted_for(source: Source) -> None:
    marts = released(source.installation("duckdb"), "customer")
    _, report = marts["voucher_cleaning_report"]
    rows = dict(zip(report["outcome"], report["rows"], strict=True))
    assert sum(rows.values()) == 285_570
    assert (rows["kept"], rows["empty order count"], rows["zero order count"]) == (
        210_872,
        22_845,
        33_496,
    )
    for view in ("frequency_voucher_details_view", "recency_voucher_details_view"):
        _, vouchers = marts[view]
        assert set(vouchers.query("country_code == 'Peru'")["voucher_amount"]) == {2640}


@pytest.mark.parametrize("source", [REAL_FILES, "sample"], indirect=True)
def test_the_published_voucher_request_has_the_published_answer(source: Source) -> None:
    settings = source.installation("duckdb")
    open_serving_store(settings)
    with client_of(create_app(settings)) as client:
        answer = client.post("/v1/vouchers/select", json=PUBLISHED)
    assert (answer.status_code, answer.text) == (200, '{"voucher_amount":2640}')


@pytest.mark.parametrize("source", [REAL_FILES], indirect=True)
def test_real_coupons_are_those_of_the_ready_aggregates(source: Source) -> None:
    """The files' own prices differ only where they rounded an exact half cent to even."""
    marts = {
        name: rows for name, (_, rows) in released(source.installation("duckdb"), "store").items()
    }
    counts = {name: len(rows) for name, rows in marts.items()}
    assert counts == {
        "coupon_info": 971,
        "product_info": 3_000,
        "coupon_product": 17_515,
        "customer_info": 997,
        "coupon_offers": 0,
        "store_cleaning_report": 5,
    }
    ready = pd.read_csv(source.folders["store"] / "coupon_info.csv")
    both = marts["coupon_info"].merge(ready, on="coupon_id", suffixes=("", "_ready"))
    assert (both["products_available"] == both["products_available_ready"]).all()
    ours = (both["product_mean_price"].astype(float) * 100).round().astype("int64")
    theirs = (both["product_mean_price_ready"] * 100).round().astype("int64")
    assert (ours == theirs).sum() == 947
    assert set((ours - theirs)[ours != theirs]) == {1}
    assert (theirs[ours != theirs] % 2 == 0).all()


@pytest.mark.parametrize("source", [REAL_FILES], indirect=True)
def test_real_promotion_counts(source: Source) -> None:
    marts = released(source.installation("duckdb"), "loyalty")
    _, members = marts["members"]
    assert (members["joined_by"] == "list").sum() == 121
    _, conversions = marts["conversions"]
    assert conversions["conversion_type"].value_counts().to_dict() == {
        "click": 100,
        "basket": 98,
        "purchase": 24,
    }
    clicks = conversions.query("conversion_type == 'click'")
    assert clicks["channel"].value_counts().to_dict() == {"Instagram": 88, "Facebook": 12}
    assert f"{conversions['total'].sum():.2f}" == "301.96"
