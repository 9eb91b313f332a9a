"""What the models' YAML says of live marts: which are, from what, and what is refused."""

from typing import Any

import pytest

from orchestration.transform.live import faults, plan_of
from pollux.runtime.live_plan import LearnedRows

KEY = {"household_key": {"data_type": "bigint"}}


def model(name: str, *reads: str, live: Any = None, layer: str = "intermediate") -> dict[str, Any]:
    """A model as dbt's manifest has it; its SQL reads its parents by the names of the warehouse."""
    return {
        "resource_type": "model",
        "unique_id": f"model.pollux.{name}",
        "name": name,
        "fqn": ["pollux", layer, "household", name],
        "config": {"meta": {"live": live} if live else {}, "contract": {"enforced": False}},
        "columns": KEY,
        "depends_on": {"nodes": list(reads)},
        "relation_name": f'"warehouse"."{layer}"."{name}"',
        "compiled_code": "select * from "
        + " join ".join(
            f'"warehouse"."intermediate"."{one.rpartition(".")[2]}"'
            if one.startswith("model.")
            else f"read_parquet('{one}')"
            for one in reads
        ),
    }


def manifest(**changed: dict[str, Any]) -> dict[str, Any]:
    """A mart of baskets, of which there are files and events, judged within a window."""
    models = {
        "lines": model("lines", "source.pollux.household.lines", live="customers"),
        "events": model("events", "source.pollux.events.lines", live="given"),
        "days": model("days", live="given"),
        "totals": model("totals", "model.pollux.gathered", live="released") | {"columns": {}},
        "window": model("window", "model.pollux.totals", "model.pollux.days") | {"columns": {}},
        "gathered": model("gathered", "model.pollux.lines", "model.pollux.events"),
        "mart": model(
            "mart",
            "model.pollux.gathered",
            "model.pollux.window",
            live={"key": "household_key"},
            layer="marts",
        ),
    } | changed
    return {
        "nodes": {node["unique_id"]: node for node in models.values()},
        "sources": {
            name: {
                "unique_id": name,
                "name": "lines",
                "config": {"meta": {}},
                "columns": KEY,
                "relation_name": f"read_parquet('{name}')",
            }
            for name in ("source.pollux.household.lines", "source.pollux.events.lines")
        },
    }


def test_a_plan_reads_as_released_what_is_declared_and_evaluates_the_rest() -> None:
    assert list(faults(manifest())) == []
    plan = plan_of(manifest(), "household")
    assert (plan.domain, plan.key) == ("household", "household_key")
    assert plan.released == ("totals",)
    assert plan.customers == {"lines": "household_key"}
    assert plan.days == ("days",)
    assert plan.lines == "events.lines"
    assert [model.name for model in plan.models if model.is_mart] == ["mart"]
    names = [model.name for model in plan.models]
    assert sorted(names) == ["events", "gathered", "mart", "window"]
    assert names.index("events") < names.index("gathered") < names.index("mart")
    sql = {model.name: model.sql for model in plan.models}
    assert sql["events"] == 'select * from "events.lines"'
    assert sql["mart"] == 'select * from "gathered" join "window"'


def test_lines_may_be_found_by_another_column_than_the_marts_key() -> None:
    orders = {"columns": {"order_id": {}}}
    lines = model("lines", "source.pollux.household.lines", live={"by": "order_id"}) | orders
    gathered = model("gathered", "model.pollux.lines", "model.pollux.events") | orders
    changed = manifest(lines=lines, gathered=gathered)
    assert list(faults(changed)) == []
    assert plan_of(changed, "household").customers == {"lines": "order_id"}


def learned_mart(learned_from: str) -> dict[str, Any]:
    """A manifest with a mart whose rows are learned from lines."""
    key = {"key": "household_key"}
    learned = "source.pollux.learned.offers"
    found = manifest(
        offers=model("offers", learned, live={"learned_from": learned_from}),
        mart=model("mart", "model.pollux.offers", live=key, layer="marts"),
    )
    found["sources"][learned] = {
        "unique_id": learned,
        "name": "offers",
        "config": {"meta": {}},
        "columns": KEY,
        "relation_name": f"read_parquet('{learned}')",
    }
    return found


def test_what_is_learned_is_made_from_the_purchases_that_it_was_learned_from() -> None:
    changed = learned_mart("gathered")
    assert list(faults(changed)) == []
    plan = plan_of(changed, "household")
    assert plan.learned == LearnedRows(relation="learned.offers", purchases="gathered")
    names = [model.name for model in plan.models]
    assert sorted(names) == ["events", "gathered", "mart", "offers"]
    assert names.index("gathered") < names.index("offers") < names.index("mart")
    assert plan_of(manifest(), "household").learned is None
    ((node, why),) = list(faults(learned_mart("gatered")))[:1]
    assert (node["name"], why) == ("offers", "is learned from gatered, which is no model")


def test_only_marts_of_the_domain_are_answered() -> None:
    key = {"key": "household_key"}
    of_another = model("gathered", "model.pollux.lines", "model.pollux.events", live=key)
    for layer, domain in (("intermediate", "household"), ("marts", "store")):
        changed = manifest(gathered=of_another | {"fqn": ["pollux", layer, domain, "gathered"]})
        plan = plan_of(changed, "household")
        assert [model.name for model in plan.models if model.is_mart] == ["mart"]


def test_without_live_marts_nothing_is_asked() -> None:
    plain = model("mart", "model.pollux.gathered", layer="marts")
    assert list(faults(manifest(mart=plain, lines=model("lines")))) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"lines": model("lines", "source.pollux.household.lines")},
            (
                "lines reads household.lines, and live marts are made of it: add config.meta.live, "
                "one of released, customers, given"
            ),
        ),
        (
            {"gathered": model("gathered", "model.pollux.lines") | {"columns": {}}},
            (
                "gathered has lines of customers and does not list household_key among its "
                "columns, by which live marts are made: list it, or declare the model as released"
            ),
        ),
        (
            {"lines": model("lines", live="customers") | {"columns": {}}},
            "lines is found by household_key, and does not list it among its columns",
        ),
        (
            {"totals": model("totals", live="realesed")},
            "totals says live: realesed, which is none of released, customers, given",
        ),
        (
            {"mart": model("mart", "model.pollux.gathered", live={"key": "id"}, layer="marts")},
            "mart is live by no column of its own: write config.meta.live: {key: …}",
        ),
        (
            {"mart": model("mart", "model.pollux.gathered", live="yes", layer="marts")},
            "mart is live by no column of its own: write config.meta.live: {key: …}",
        ),
        (
            {
                "other": model("other", live={"key": "customer"}, layer="marts")
                | {"columns": {"customer": {}}}
            },
            (
                "other is live by customer, and mart by household_key; the live marts of a domain "
                "have one key"
            ),
        ),
        (
            {"events": model("events", live="given")},
            (
                "mart is live from 0 models of events: one staging model in household says "
                "config.meta.live: given"
            ),
        ),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused(
    changed: dict[str, dict[str, Any]], expected: str
) -> None:
    found = [f"{node['name']} {what}" for node, what in faults(manifest(**changed))]
    assert any(text.startswith(expected) for text in found), found
