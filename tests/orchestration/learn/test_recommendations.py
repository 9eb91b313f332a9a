"""Recommendations from landing to release: learned when due, tested, merchandise only."""

from uuid import uuid4

import duckdb
import numpy as np
import pytest

from orchestration.build import build, loaded_domains
from orchestration.learn.recommend import land
from orchestration.learn.recommend.household import History, as_history
from orchestration.learn.recommend.land import learn_if_due, read_note, read_purchases
from orchestration.learn.recommend.model import Parameters
from orchestration.load.event_datasets import feeding
from orchestration.load.events import land_events
from orchestration.load.run import load
from pollux.runtime.recommend.learned import FILES, learned_dir
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.support.live_events import make_events_schema, take_in

pytestmark = pytest.mark.integration


def ask(settings: Settings, query: str) -> list[tuple]:
    folder = settings.releases_dir / "household" / "current"
    return duckdb.sql(query.replace("{folder}", str(folder))).fetchall()


def test_every_household_that_bought_has_ranked_reasons(built: Settings) -> None:
    rows = ask(
        built,
        "select household_key, list(rank order by rank), list(score order by rank), "
        "list(distinct kind) from '{folder}/product_recommendations.parquet' group by 1",
    )
    served = ask(built, "select household_key from '{folder}/household_rfm.parquet'")
    assert {key for (key,) in served} <= {row[0] for row in rows}
    for _, ranks, scores, _ in rows:
        assert ranks == list(range(1, len(ranks) + 1))
        assert scores == sorted(scores, reverse=True)
    assert {kind for row in rows for kind in row[3]} == {"repeat", "new"}


def test_reasons_agree_with_the_purchases(built: Settings) -> None:
    wrong = ask(
        built,
        "select * from '{folder}/product_recommendations.parquet' where case kind "
        "when 'new' then purchases > 0 or reason not in ('popular', "
        "'bought by households like this one') "
        "else purchases < 1 or reason not like 'bought %' end",
    )
    assert wrong == []


def test_nothing_but_merchandise(built: Settings) -> None:
    found = ask(
        built,
        "select count(*) from '{folder}/product_recommendations.parquet' "
        "join '{folder}/products.parquet' using (product_id) "
        "where products.department is null or products.commodity is null or products.department in "
        "('MISC SALES TRAN', 'KIOSK-GAS', 'COUP/STR & MFG', 'MISC. TRANS.', 'RX') "
        "or products.commodity = 'COUPON/MISC ITEMS'",
    )
    assert found == [(0,)]


def test_learned_again_only_when_due(installation: Settings, tmp_path, sample_files) -> None:
    note = read_note(installation)
    assert note["households"] > 0
    assert set(note["parameters"]) >= {"decay", "neighbours", "neighbour_weight"}
    assert learn_if_due(installation) is False
    assert "learned" not in loaded_domains(installation)
    more = tmp_path / "transaction_data_more.csv"
    header = (sample_files / "transaction_data.csv").read_text().splitlines()[0]
    more.write_text(f"{header}\n987654,1,700,1082185,1,2.50,367,0.00,1200,101,0.00,0.00\n")
    load(installation, domain="household", from_=more, sample=True)
    assert learn_if_due(installation) is True
    assert read_note(installation)["made_from"] != note["made_from"]
    assert learn_if_due(installation) is False


def test_parameters_are_chosen_anew_only_where_settled_purchases_changed(
    installation: Settings, tmp_path, sample_files, monkeypatch
) -> None:
    chosen: list[int] = []

    def choose(history: History, say: object) -> Parameters:
        chosen.append(history.last_day)
        return Parameters(neighbours=100 + len(chosen))

    monkeypatch.setattr(land, "choose_for", choose)
    header = (sample_files / "transaction_data.csv").read_text().splitlines()[0]

    def buy(day: int) -> int:
        """Learns from one more purchase; returns the neighbours that were chosen."""
        file = tmp_path / f"transaction_data_{day}.csv"
        file.write_text(f"{header}\n1,{day},{day},{product},1,2.50,367,0.00,1200,101,0.00,0.00\n")
        load(installation, domain="household", from_=file, sample=True)
        assert learn_if_due(installation) is True
        return int(read_note(installation)["parameters"]["neighbours"])

    assert learn_if_due(installation) is False
    purchases = read_purchases(installation)
    product, last_day = purchases.product[0], as_history(purchases).last_day
    boundary = (last_day // 28 + 1) * 28
    # A purchase long ago, then those of the days until the next four weeks are complete.
    assert buy(100) == 101
    assert buy(boundary - 1) == 101
    assert buy(boundary) == 102
    assert buy(boundary + 27) == 102
    assert buy(boundary + 28) == 103
    assert [day // 28 for day in chosen] == [boundary // 28 - 2, boundary // 28 - 1, boundary // 28]


def test_a_live_purchase_is_learned_from_once_it_has_landed(installation: Settings) -> None:
    assert learn_if_due(installation) is False
    before = read_purchases(installation)
    product = int(before.product[0])
    basket = {"event_key": uuid4(), "household_key": 987654, "basket_id": 1, "day": 709}
    line = {"line": 1, "product_id": product, "quantity": 1, "sales_value": "2.50"}
    with open_serving_store(installation).connect() as connection:
        make_events_schema(connection)
        take_in(connection, "basket_lines", [basket | line])
    assert learn_if_due(installation) is False
    land_events(installation, feeding(["household"]))
    assert learn_if_due(installation) is True
    after = read_purchases(installation)
    assert after.household.size == before.household.size + 1
    place = np.flatnonzero(after.household == 987654)
    assert after.product[place].tolist() == [product]
    assert after.minute[place].tolist() == [709 * 1440 + 0.5]
    parts = installation.landing_dir / "learned" / "product_recommendations" / "*.parquet"
    query = f"select purchases from '{parts}' where household_key = 987654 and kind = 'repeat'"
    assert duckdb.sql(query).fetchall() == [(1,)]


def test_learned_again_where_what_the_release_needs_of_it_is_gone(installation: Settings) -> None:
    for name in FILES:
        (learned_dir(installation) / name).unlink()
        assert learn_if_due(installation) is True
        assert (learned_dir(installation) / name).exists()


@pytest.mark.endurance
def test_nothing_bought_builds_too(prepared, short_tmp, sample_files) -> None:
    settings = prepared.empty(short_tmp / "nothing_bought")
    load(settings, domain="household", from_=sample_files / "product.csv", sample=True)
    assert learn_if_due(settings) is True
    assert read_note(settings)["rows"] == 0
    build(settings, ["household"]).raise_if_failed()
