"""The pure parts of the graph: names, dates in file names, storage URL, alerts, automation."""

import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy.engine import make_url

from orchestration.defs.alerts import alert
from orchestration.defs.automation import build_automation_definitions
from orchestration.defs.resources import EXECUTOR, Retries, final
from orchestration.defs.transform import domains_to_build
from orchestration.defs.translator import Translator, asset_key, check_key
from orchestration.instance.home import storage_url
from orchestration.instance.in_process import execute
from orchestration.load import inbox, landing
from orchestration.load.convert_csv import write_empty
from orchestration.load.counts import count_problems
from orchestration.load.declarations import Column, Dataset
from orchestration.load.load_log import append_to_log
from orchestration.transform.errors import BuildError
from orchestration.transform.manifest import ManifestError, read_manifest
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings

DATASET = Dataset("shop", "orders", ("orders*.csv",), "csv", (), (Column("id", "integer"),))


def node(kind: str, name: str, *fqn: str, **more: Any) -> dict[str, Any]:
    return {
        "unique_id": f"{kind}.pollux.{name}",
        "resource_type": kind,
        "name": name,
        "fqn": ["pollux", *fqn, name],
        "config": {"meta": {"serving": {"indexes": []}} if "marts" in fqn else {}},
        **more,
    }


def configured(severity: str = "ERROR") -> dict[str, Any]:
    return {"severity": severity, "meta": {}}


# Two domains; a shop's dataset and mart share a name, and the club's mart reads the shop's.
MANIFEST: dict[str, Any] = {
    "nodes": {
        n["unique_id"]: n
        for n in (
            node("seed", "sections"),
            node("model", "stg_files__orders", "staging", "files"),
            node("model", "orders", "marts", "shop"),
            node("model", "members", "marts", "club"),
            node(
                "test",
                "unique_orders",
                attached_node="model.pollux.orders",
                config=configured(),
            ),
            node("test", "warned", attached_node="model.pollux.orders", config=configured("warn")),
            node("test", "assert_both_agree", attached_node=None, config=configured()),
        )
    },
    "sources": {"source.pollux.shop.orders": {"source_name": "shop", "name": "orders"}},
    "parent_map": {
        "seed.pollux.sections": [],
        "model.pollux.stg_files__orders": ["source.pollux.shop.orders"],
        "model.pollux.orders": ["model.pollux.stg_files__orders", "seed.pollux.sections"],
        "model.pollux.members": ["seed.pollux.sections"],
        "test.pollux.unique_orders": ["model.pollux.orders"],
        "test.pollux.warned": ["model.pollux.orders"],
        "test.pollux.assert_both_agree": ["model.pollux.members", "model.pollux.orders"],
    },
}


@pytest.mark.parametrize(
    ("unique_id", "key"),
    [
        ("source.pollux.shop.orders", ["shop", "orders"]),
        ("model.pollux.stg_files__orders", ["shop", "staging", "stg_files__orders"]),
        ("model.pollux.orders", ["shop", "marts", "orders"]),
        ("seed.pollux.sections", ["reference", "sections"]),
    ],
)
def test_keys_tell_dataset_and_mart_apart(unique_id: str, key: list[str]) -> None:
    assert asset_key(MANIFEST, unique_id) == dg.AssetKey(key)


def test_check_that_a_run_of_one_domain_leaves_out_does_not_block() -> None:
    orders = dg.AssetSpec(["shop", "marts", "orders"])

    def spec(name: str) -> dg.AssetCheckSpec | None:
        translator = Translator(MANIFEST)
        return translator.get_asset_check_spec(orders, MANIFEST, f"test.pollux.{name}", None)

    unique, warned, both = spec("unique_orders"), spec("warned"), spec("assert_both_agree")
    assert unique is not None
    assert unique.blocking
    assert warned is not None
    assert not warned.blocking
    # The mart further down has it.
    assert check_key(MANIFEST, "test.pollux.assert_both_agree").asset_key == orders.key
    assert both is not None
    assert not both.blocking


@pytest.mark.parametrize(
    ("selected", "loaded", "expected"),
    [
        (["shop/marts/orders"], ["club", "shop"], ["shop"]),
        (["shop/staging/stg_files__orders"], ["club", "shop"], ["shop"]),
        (["reference/sections"], ["club", "shop"], ["club", "shop"]),
        (["club/marts/members", "shop/staging/stg_files__orders"], ["club", "shop"], ["club"]),
        (["club/marts/members", "shop/marts/orders"], ["shop"], ["shop"]),
    ],
)
def test_selection_says_which_domains_are_built(
    selected: list[str], loaded: list[str], expected: list[str]
) -> None:
    keys = {dg.AssetKey(key.split("/")) for key in selected}
    assert domains_to_build(MANIFEST, keys, loaded) == expected


def test_nothing_loaded_is_said() -> None:
    with pytest.raises(BuildError, match="Nothing has been loaded"):
        domains_to_build(MANIFEST, {dg.AssetKey(["club", "marts", "members"])}, ["shop"])


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("orders_2024-03-23.csv", "2024-03-23"),
        ("orders20240323.csv.gz", "2024-03-23"),
        ("2023-01-01_orders_2024-03-23.csv", "2024-03-23"),
        ("orders_2024-13-45.csv", None),
        ("orders_120240323.csv", None),
        ("orders.csv", None),
    ],
)
def test_date_in_a_file_name(name: str, day: str | None) -> None:
    found = inbox.file_date(name)
    assert (found.isoformat() if found else None) == day


def test_unfinished_and_hidden_files_do_not_wait(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    folder = settings.inbox_dir / "shop"
    folder.mkdir(parents=True)
    for name in ("orders.csv", "orders2.csv.part", ".orders3.csv", "orders4.tmp"):
        (folder / name).write_text("id\n")
    (folder / "folder").mkdir()
    assert [file.path.name for file in inbox.waiting(settings, "shop")] == ["orders.csv"]
    assert inbox.unknown_folders(settings, ["shop"]) == []
    assert inbox.unknown_folders(settings, ["club"]) == [folder]


def test_lost_rejects_do_not_add_up(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    path = landing.part_path(settings, DATASET, "orders.csv")
    path.parent.mkdir(parents=True)
    record = landing.part_record(DATASET, sha256="x", rejected=2, sample=False)
    write_empty(DATASET, path, record)
    rejects = landing.rejects_path(settings, "shop", "orders", "orders.csv")
    rejects.parent.mkdir(parents=True)
    rejects.write_text('file,line,column,reason,raw\no,1,id,bad,"a\nb"\no,2,id,bad,c\n')
    assert count_problems(settings, DATASET) == []
    rejects.write_text("file,line,column,reason,raw\no,1,id,bad,a\n")
    assert "2 rejects, 1 kept" in count_problems(settings, DATASET)[0]
    entry = {"domain": "shop", "dataset": "orders", "part": "orders.csv", "outcome": "landed"}
    append_to_log(settings, [entry | {"rows_read": 7}])
    assert "7 rows were read, 0 landed and 2 were rejected" in count_problems(settings, DATASET)[0]


@pytest.mark.parametrize(
    ("owner", "database", "host"),
    [
        ("postgresql://postgres@/pollux?host=%2Fvar%2Flib%2Fp", "pollux_dagster", "/var/lib/p"),
        ("postgresql://me:p%40ss%25@db:5433/shop?sslmode=require", "shop_dagster", "db"),
    ],
)
def test_storage_names_its_driver(owner: str, database: str, host: str) -> None:
    url = make_url(storage_url(ServingStore(owner, owner, "reader", None, None)))
    assert url.drivername == "postgresql+psycopg2"
    assert url.database == database
    assert url.query["host"] == host
    if "@db" in owner:
        assert (url.username, url.password) == ("me", "p@ss%")
        assert (url.query["port"], url.query["sslmode"]) == ("5433", "require")


def test_alert_goes_to_log_and_webhook(tmp_path: Path) -> None:
    received: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Settings(
        data_dir=tmp_path, alert_webhook=f"http://127.0.0.1:{server.server_port}/secret"
    )
    assert alert(settings, "It failed.\nTwice.", {"job": "shop"}) is None
    server.shutdown()
    server.server_close()
    assert received[0]["text"] == "It failed.\nTwice."
    assert received[0]["job"] == "shop"
    problem = alert(settings, "Again.", {})
    assert problem is not None
    assert "secret" not in problem
    lines = (settings.logs_dir / "alerts.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["It failed. | Twice.", "Again."]


def test_missing_manifest_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="pollux dagster"):
        read_manifest(Settings(data_dir=tmp_path))


def test_inbox_asks_once_for_files_that_have_settled(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    found = build_automation_definitions(MANIFEST)
    (sensor,) = [s for s in found.sensors or [] if s.name == "inbox"]
    folder = settings.inbox_dir / "shop"
    folder.mkdir(parents=True)
    (folder / "orders.csv").write_text("id\n")

    def look(cursor: str | None) -> tuple[list[tuple[str | None, str | None]], str | None]:
        with dg.build_sensor_context(cursor=cursor, resources={"settings": settings}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        asked = [(request.job_name, request.run_key) for request in result.run_requests or []]
        return asked, result.cursor

    asked, cursor = look(None)
    assert asked == []
    asked, cursor = look(cursor)
    assert [job for job, _ in asked] == ["shop"]
    # The same key: Dagster asks for nothing twice.
    assert look(cursor)[0] == asked
    (folder / "orders.csv").write_text("id\n1\n")
    assert look(cursor)[0] == []


def test_failure_of_one_domain_lets_the_other_be_released() -> None:
    keys = [dg.AssetKey([domain, "marts", "orders"]) for domain in ("good", "bad")]

    @dg.multi_asset(
        name="dbt",
        specs=[
            *(dg.AssetSpec(key, skippable=True) for key in keys),
            dg.AssetSpec("unasked", skippable=True),
        ],
        check_specs=[dg.AssetCheckSpec("unique", asset=key, blocking=True) for key in keys],
        can_subset=True,
    )
    def dbt(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        for key, passed in zip(keys, (True, False), strict=True):
            yield dg.AssetCheckResult(asset_key=key, check_name="unique", passed=passed)
        yield dg.MaterializeResult(asset_key=keys[0])
        raise final(context, "bad failed")

    def release(domain: str, key: dg.AssetKey) -> dg.AssetsDefinition:
        @dg.asset(key=[domain, "release"], deps=[key])
        def _asset() -> None:
            released.append(domain)

        return _asset

    released: list[str] = []
    releases = [release(key.path[0], key) for key in keys]
    definitions = dg.Definitions(
        assets=[dbt, *releases],
        jobs=[dg.define_asset_job("all", selection="*", executor_def=EXECUTOR)],
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = execute(definitions.resolve_job_def("all"), instance)
    assert not result.success
    assert released == ["good"]


@pytest.mark.parametrize(("number", "attempts"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (0, 2)])
def test_step_is_tried_again_only_if_it_failed(number: int, attempts: int) -> None:
    tried: list[str] = []

    @dg.asset(retry_policy=Retries(max_retries=1, delay=0))
    def build() -> None:
        tried.append("build")
        # Signal 0 does nothing.
        os.kill(os.getpid(), number)
        raise ValueError

    @dg.asset(deps=[build])
    def release() -> None:
        tried.append("release")

    definitions = dg.Definitions(
        assets=[build, release],
        jobs=[dg.define_asset_job("all", selection="*", executor_def=EXECUTOR)],
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = execute(definitions.resolve_job_def("all"), instance)
    assert not result.success
    assert tried == ["build"] * attempts
