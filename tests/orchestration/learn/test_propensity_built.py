"""Coupon propensity on a built store: features are those of the marts, the command trains."""

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from orchestration.build import build
from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.history import TABLES, TOTALS, open_history
from orchestration.learn.propensity.pairs import check_features, read_pairs
from orchestration.learn.propensity.training import train
from orchestration.transform.record import read_record, write_record
from pollux import propensity
from pollux.runtime.settings import Settings
from services.scoring.schemas import Customer
from tests.conftest import Pollux
from tests.support.installations import Prepared

pytestmark = pytest.mark.integration

LATER = "timestamp '2100-01-01 12:00:00'"


@pytest.fixture(
    scope="module", params=["duckdb", pytest.param("postgres", marks=pytest.mark.endurance)]
)
def store(request: pytest.FixtureRequest, prepared: Prepared, short_tmp: Path) -> Settings:
    data_dir = short_tmp / f"store_{request.param}"
    if request.param == "duckdb":
        return prepared.copy(prepared.everything(), data_dir)
    settings = prepared.land(data_dir, "store", engine=request.param)
    build(settings, ["store"]).raise_if_failed()
    return settings


def make_writable(store: Settings, history: duckdb.DuckDBPyConnection, name: str) -> None:
    """Puts a table of its own in place of what the history reads."""
    history.execute(f"create table copied as from {name}")
    history.execute(f"drop {'table' if store.engine == 'postgres' else 'view'} {name}")
    history.execute(f"alter table copied rename to {name}")


def test_features_of_an_order_to_come_are_the_marts_rows(store: Settings) -> None:
    """What a model learned from is what the scorer is sent: no skew between the two."""
    with open_history(store) as history:
        for name in ("orders", "order_lines", "coupons"):
            make_writable(store, history, name)
        history.execute("update coupons set end_date = '2200-01-01'")
        history.execute(
            f"insert into orders select -customer_id, customer_id, {LATER} from customers"
        )
        history.execute(
            """
            insert into order_lines
            select -customers.customer_id, products.product_id, null, 1, 0
            from customers, (select min(product_id) as product_id from products) as products
            """
        )
        later = [row for row in read_pairs(history).table.to_pylist() if row["order_id"] < 0]
    columns = list(Customer.model_fields)
    found = {row["customer_id"]: [row[name] for name in columns] for row in later}
    assert found == {
        row[0]: [float(value) if isinstance(value, (int, float)) else value for value in row]
        for row in _customers(store, columns)
    }
    assert len(found) == 20


def test_features_that_are_not_the_marts_are_refused(store: Settings) -> None:
    with open_history(store) as history:
        check_features(history)
        make_writable(store, history, "customer_totals")
        ((changed,),) = history.execute(
            "select min(customer_id) from customer_totals where total_items_bought > 0"
        ).fetchall()
        for column in TOTALS:
            history.execute("begin")
            history.execute(f"update customer_totals set {column} = coalesce({column}, 0) + 1")
            with pytest.raises(LearnError, match=rf"features of \d+ customers \(first {changed}\)"):
                check_features(history)
            history.execute("rollback")
        check_features(history)


def _customers(store: Settings, columns: list[str]) -> list[tuple[object, ...]]:
    kinds = ", ".join(
        name if name == "gender" else f"cast({name} as double precision) as {name}"
        for name in columns
    )
    if store.engine == "postgres":
        from pollux.runtime.serving import open_serving_store  # noqa: PLC0415

        with open_serving_store(store).connect() as server:
            return server.execute(
                f"select {kinds} from warehouse_marts.customer_info".encode()
            ).fetchall()
    with open_history(store) as history:
        return history.execute(
            f"select {kinds} from warehouse.warehouse_marts.customer_info"
        ).fetchall()


def test_the_command_trains_and_the_scorers_model_is_there(store: Settings, pollux: Pollux) -> None:
    done = pollux(store, "learn", "propensity", "--json", POLLUX_ENGINE=store.engine)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert card["is_promoted"]
    model = propensity.read_current(propensity.models_dir(store))
    assert model.id == card["id"]
    record = read_record(store, "store")
    assert record is not None
    write_record(store, replace(record, status="failed"))
    refused = pollux(store, "learn", "propensity", POLLUX_ENGINE=store.engine)
    assert refused.returncode == 1
    assert "did not pass" in refused.stderr
    write_record(store, record)
    again = pollux(store, "learn", "propensity", "--if-due", POLLUX_ENGINE=store.engine)
    assert again.returncode == 0
    assert "was trained on these data" in again.stderr


def test_without_a_build_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(LearnError, match="run pollux build"):
        train(Settings(data_dir=tmp_path))
    assert set(TABLES) == {
        *("orders", "order_lines", "products", "customers", "customer_totals", "coupons"),
    }
