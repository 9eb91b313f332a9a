"""Queries on dbt's manifest: which marts a domain has, and what they depend on.

Belongs here: pure functions of a manifest, and of a run's results. Does not belong here: reading a
manifest (`dbt`, `manifest`), and names in Dagster (`orchestration.defs.translator`).
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestration.transform.dbt import DbtRun, NodeResult
from pollux.contracts import Column, Contract
from pollux.personal import is_personal
from pollux.quality import DataTest


@dataclass(frozen=True, kw_only=True)
class ServedTable(Contract):
    """A mart to release: its contract, and the schema where it was built.

    `live_key` is the column of the customers for whom it is answered live.
    """

    schema: str
    live_key: str | None = None


def served_tables(manifest: Mapping[str, Any], domain: str) -> tuple[ServedTable, ...]:
    """The marts in a domain's release, by name."""
    return tuple(map(_served_table, _marts(manifest, domain)))


def marts_made_of(
    manifest: Mapping[str, Any], domain: str, dataset: str
) -> tuple[ServedTable, ...]:
    """The marts of a domain that are built from one of its datasets, by name."""
    sources = [
        source["unique_id"]
        for source in manifest["sources"].values()
        if (source["source_name"], source["name"]) == (domain, dataset)
    ]
    reached = _reached(sources, manifest["child_map"])
    marts = [node for node in _marts(manifest, domain) if node["unique_id"] in reached]
    return tuple(map(_served_table, marts))


def all_marts(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes of all marts, by name."""
    marts = [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    ]
    return sorted(marts, key=lambda node: node["name"])


def domains(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains that have marts to serve."""
    return tuple(sorted({node["fqn"][2] for node in all_marts(manifest)}))


def has_all_marts(run: DbtRun, domain: str) -> bool:
    """Whether every mart of the domain was built."""
    built = {result.unique_id for result in run.results if result.status == "success"}
    return {node["unique_id"] for node in _marts(run.manifest, domain)} <= built


def failures_of(run: DbtRun, domain: str) -> tuple[NodeResult, ...]:
    """What failed among a domain's marts, everything upstream of them, and the tests of both."""
    needed = needed_by(run.manifest, domain)
    return tuple(
        result
        for result in run.results
        if result.is_failed
        and (result.unique_id in needed or needed & _tested(run.manifest, result.unique_id))
    )


def data_tests_of(run: DbtRun, domain: str) -> tuple[DataTest, ...]:
    """The tests of a domain's marts and of everything upstream of them that ran, by name."""
    needed = needed_by(run.manifest, domain)
    found = [
        _test_result(run.manifest, result)
        for result in run.results
        if result.status != "skipped" and needed & _tested(run.manifest, result.unique_id)
    ]
    return tuple(sorted(found, key=lambda test: test.name))


def warnings_of(run: DbtRun) -> tuple[str, ...]:
    """What tests that only warn found, in the words of their descriptions, with the rows."""
    found = [
        (run.manifest["nodes"][result.unique_id], result.failures)
        for result in run.results
        if result.status == "warn"
    ]
    # A test without a description has at least a name.
    return tuple(
        f"{(node['description'] or node['name']).rstrip('.')}: {failures:,}."
        for node, failures in found
    )


def needed_by(manifest: Mapping[str, Any], domain: str) -> set[str]:
    """A domain's marts and everything upstream of them, seeds and sources included."""
    marts = [node["unique_id"] for node in _marts(manifest, domain)]
    return _reached(marts, manifest["parent_map"])


def layer_of(manifest: Mapping[str, Any], unique_id: str) -> str:
    """Landing, staging, intermediate or marts; reference for a seed."""
    kind = unique_id.partition(".")[0]
    if kind != "model":
        return {"source": "landing", "seed": "reference"}[kind]
    return str(manifest["nodes"][unique_id]["fqn"][1])


def domain_of(manifest: Mapping[str, Any], unique_id: str) -> str:
    """The domain of a source or model; for a seed, which belongs to all, `reference`.

    Staging models are in folders by source, so their domain is that of the source they read.
    """
    if unique_id.startswith("source."):
        return unique_id.split(".")[2]
    if unique_id.startswith("seed."):
        return "reference"
    node = manifest["nodes"][unique_id]
    read = [p for p in manifest["parent_map"][unique_id] if p.startswith("source.")]
    return domain_of(manifest, read[0]) if read else str(node["fqn"][2])


def key_columns(node: Mapping[str, Any]) -> tuple[str, ...]:
    """A model's primary key, declared on the model or on a column; empty if it has none."""
    for constraint in node["constraints"]:
        if constraint["type"] == "primary_key":
            return tuple(constraint["columns"])
    return tuple(
        name
        for name, column in node["columns"].items()
        if any(constraint["type"] == "primary_key" for constraint in column["constraints"])
    )


def _reached(start: Iterable[str], links: Mapping[str, Sequence[str]]) -> set[str]:
    """Nodes that links lead to, from the start on, the start included."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        unique_id = waiting.pop()
        if unique_id not in reached:
            reached.add(unique_id)
            waiting += links.get(unique_id, ())
    return reached


def _tested(manifest: Mapping[str, Any], unique_id: str) -> set[str]:
    """What a test checks: the model it is attached to, or all that a singular test reads."""
    if not unique_id.startswith("test."):
        return set()
    attached = manifest["nodes"][unique_id].get("attached_node")
    return {attached} if attached else set(manifest["parent_map"][unique_id])


def _test_result(manifest: Mapping[str, Any], result: NodeResult) -> DataTest:
    node = manifest["nodes"][result.unique_id]
    attached = node.get("attached_node")
    passed: Literal["passed", "warned"] = "warned" if result.status == "warn" else "passed"
    return DataTest(
        name=node["name"],
        description=_one_line(node["description"]) or _opening(node["raw_code"]),
        kind=(node.get("test_metadata") or {}).get("name"),
        model=attached and attached.split(".")[-1],
        column=node.get("column_name"),
        status="failed" if result.is_failed else passed,
        rows=result.failures,
    )


def _opening(sql: str) -> str:
    """The comment that a file of SQL opens with; of a test it says when the test fails."""
    lines = itertools.takewhile(lambda line: line.startswith("--"), sql.strip().splitlines())
    return " ".join(line.removeprefix("--").strip() for line in lines)


def _marts(manifest: Mapping[str, Any], domain: str) -> list[dict[str, Any]]:
    return [node for node in all_marts(manifest) if node["fqn"][2] == domain]


def _served_table(node: dict[str, Any]) -> ServedTable:
    live = node["config"]["meta"].get("live")
    columns = tuple(_column(name, column) for name, column in node["columns"].items())
    return ServedTable(
        domain=node["fqn"][2],
        name=node["name"],
        schema=node["schema"],
        description=_one_line(node["description"]),
        columns=columns,
        key=key_columns(node),
        indexes=tuple(map(tuple, node["config"]["meta"]["serving"].get("indexes") or ())),
        live_key=live["key"] if isinstance(live, Mapping) else None,
    )


def _column(name: str, column: Mapping[str, Any]) -> Column:
    meta = column["config"]["meta"]
    return Column(
        name=name,
        data_type=column["data_type"],
        is_required=any(c["type"] == "not_null" for c in column["constraints"]),
        description=_one_line(column["description"]),
        example=meta.get("example"),
        personal=is_personal(name, meta),
        identifies=meta.get("identifies"),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
