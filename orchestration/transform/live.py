"""Which marts are answered live, and from what: read from `config.meta.live` of the models' YAML.

A mart says `live: {key: household_key}`. Of the models that it is built from, one may say

- `released`: it concerns the whole population, or nobody; read as the last build has it,
- `customers`: lines of single customers; read as the last build has them, of those asked for,
- `{by: order_id}`: lines of what customers have; those of the orders that are named in events of
  the customers asked for, or in other lines of theirs,
- `{learned_from: int_…}`: rows of its source are learned; they are made anew from the rows of that
  model and what was learned from everybody (`pollux.runtime.recommend.learned`),
- `given`: rows that come between builds, those of its source, or of its only column `day`.

Seeds are read as released. Every other model on the way is evaluated anew. Belongs here: reading
these declarations, and what is wrong with them. Does not belong here: the files (`live_files`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.transform.graph import all_marts
from pollux.runtime.live_plan import LearnedRows, LiveModel, LivePlan

RELEASED, CUSTOMERS, GIVEN = KINDS = ("released", "customers", "given")

Node = Mapping[str, Any]


class Closure:
    """A domain's live marts and what they are evaluated from; `order` is that of evaluation."""

    def __init__(self, manifest: Mapping[str, Any], domain: str) -> None:
        self._nodes: dict[str, Node] = manifest["nodes"] | manifest["sources"]
        self.marts = [
            node
            for node in all_marts(manifest)
            if node["fqn"][2:3] == [domain] and live_of(node) is not None
        ]
        self.order: list[str] = []
        for mart in self.marts:
            self._walk(mart["unique_id"])

    @property
    def key(self) -> str | None:
        """The column that the first mart has its customers' ids in."""
        live = live_of(self.marts[0]) if self.marts else None
        return live.get("key") if isinstance(live, Mapping) else None

    def node(self, unique_id: str) -> Node:
        """A model, seed or source."""
        return self._nodes[unique_id]

    def kind(self, unique_id: str) -> Any:  # noqa: ANN401
        """Where its rows come from: one of `KINDS`; None for a model that is evaluated."""
        if unique_id.startswith("seed."):
            return RELEASED
        live = live_of(self.node(unique_id))
        if isinstance(live, Mapping):
            return CUSTOMERS if "by" in live else None
        return live

    def by(self, unique_id: str) -> str:
        """The column by which lines of `CUSTOMERS` are found."""
        live = live_of(self.node(unique_id))
        return str(live["by"] if isinstance(live, Mapping) else self.key)

    @property
    def columns(self) -> set[str]:
        """The columns by which lines of customers are found, one of which such a model has."""
        of_customers = [one for one in self.order if self.kind(one) == CUSTOMERS]
        return {str(self.key), *map(self.by, of_customers)}

    def of_kind(self, kind: str) -> list[str]:
        """The names of those of a kind, in order."""
        return [self.node(one)["name"] for one in self.order if self.kind(one) == kind]

    def parents(self, unique_id: str) -> list[str]:
        """What a model reads, where it is evaluated."""
        if unique_id.startswith("source.") or self.kind(unique_id):
            return []
        purchases = self.learned_from(unique_id)
        if purchases is not None:
            return [purchases] if purchases in self._nodes else []
        return read_by(self.node(unique_id))

    def learned_from(self, unique_id: str) -> str | None:
        """The model from whose rows those of this one are learned, where they are."""
        live = live_of(self.node(unique_id))
        if not isinstance(live, Mapping) or "learned_from" not in live:
            return None
        project = unique_id.split(".")[1]
        return f"model.{project}.{live['learned_from']}"

    def has_customers(self, unique_id: str) -> bool:
        """Whether rows depend on lines of single customers."""
        kind = self.kind(unique_id)
        if kind is not None:
            is_lines = kind == GIVEN and bool(read_by(self.node(unique_id)))
            return kind == CUSTOMERS or is_lines
        return any(map(self.has_customers, self.parents(unique_id)))

    def _walk(self, unique_id: str) -> None:
        if unique_id in self.order:
            return
        for parent in self.parents(unique_id):
            self._walk(parent)
        self.order.append(unique_id)


def live_of(node: Node) -> Any:  # noqa: ANN401
    """What a model's YAML says of live, None where it says nothing."""
    return node["config"].get("meta", {}).get("live")


def read_by(node: Node) -> list[str]:
    """The models, seeds and sources that a model reads."""
    return sorted(one for one in node["depends_on"]["nodes"] if not one.startswith("test."))


def live_domains(manifest: Mapping[str, Any]) -> list[str]:
    """The domains of which a mart is answered live."""
    found = {node["fqn"][2] for node in all_marts(manifest) if live_of(node) is not None}
    return sorted(found)


def faults(manifest: Mapping[str, Any]) -> Iterator[tuple[Node, str]]:
    """Models whose declarations do not allow their marts to be answered live, and why not."""
    for domain in live_domains(manifest):
        closure = Closure(manifest, domain)
        for mart in closure.marts:
            live = live_of(mart)
            if not isinstance(live, Mapping) or live.get("key") not in mart["columns"]:
                yield mart, "is live by no column of its own: write config.meta.live: {key: …}"
            elif live["key"] != closure.key:
                yield (
                    mart,
                    (
                        f"is live by {live['key']}, and {closure.marts[0]['name']} by "
                        f"{closure.key}; the live marts of a domain have one key"
                    ),
                )
        for unique_id in closure.order:
            if not unique_id.startswith("seed."):
                yield from _faults_of(closure, unique_id)
        given = [one for one in closure.order if closure.kind(one) == GIVEN]
        lines = [one for one in given if read_by(closure.node(one))]
        if len(lines) != 1:
            yield (
                closure.marts[0],
                (
                    f"is live from {len(lines)} models of events: one staging model in {domain} "
                    "says config.meta.live: given"
                ),
            )


def _faults_of(closure: Closure, unique_id: str) -> Iterator[tuple[Node, str]]:
    node = closure.node(unique_id)
    kind = closure.kind(unique_id)
    if kind is not None and kind not in KINDS:
        yield node, f"says live: {kind}, which is none of {', '.join(KINDS)}"
        return
    purchases = closure.learned_from(unique_id)
    if purchases is not None and not closure.parents(unique_id):
        yield node, f"is learned from {purchases.rpartition('.')[2]}, which is no model"
    sources = [one for one in closure.parents(unique_id) if one.startswith("source.")]
    if sources:
        read = ".".join(sources[0].split(".")[2:])
        yield (
            node,
            (
                f"reads {read}, and live marts are made of it: add config.meta.live, one of "
                f"{', '.join(KINDS)}"
            ),
        )
    if kind == CUSTOMERS and closure.by(unique_id) not in node["columns"]:
        yield node, f"is found by {closure.by(unique_id)}, and does not list it among its columns"
    elif closure.has_customers(unique_id) and not closure.columns.intersection(node["columns"]):
        yield (
            node,
            (
                f"has lines of customers and does not list {closure.key} among its columns, by "
                "which live marts are made: list it, or declare the model as released"
            ),
        )


def plan_of(
    manifest: Mapping[str, Any], domain: str, lines_columns: tuple[tuple[str, str], ...] = ()
) -> LivePlan:
    """How a domain's live marts are evaluated; of a manifest that DuckDB's SQL was compiled in."""
    closure = Closure(manifest, domain)
    evaluated = [one for one in closure.order if closure.kind(one) is None]
    lines: list[str] = []
    days: list[str] = []
    models: list[LiveModel] = []
    for unique_id in closure.order:
        node = closure.node(unique_id)
        if closure.kind(unique_id) == GIVEN:
            if not read_by(node):
                days.append(node["name"])
                continue
            lines += read_by(node)
        if unique_id in evaluated or closure.kind(unique_id) == GIVEN:
            models.append(_model(manifest, node, is_mart=node in closure.marts))
    return LivePlan(
        domain=domain,
        key=str(closure.key),
        released=tuple(closure.of_kind(RELEASED)),
        customers={
            closure.node(one)["name"]: closure.by(one)
            for one in closure.order
            if closure.kind(one) == CUSTOMERS
        },
        lines=name_of(lines[0]),
        lines_columns=lines_columns,
        days=tuple(days),
        models=tuple(models),
        learned=_learned(closure),
    )


def _learned(closure: Closure) -> LearnedRows | None:
    for unique_id in closure.order:
        purchases = closure.learned_from(unique_id)
        if purchases is not None:
            (source,) = read_by(closure.node(unique_id))
            return LearnedRows(relation=name_of(source), purchases=name_of(purchases))
    return None


def _model(manifest: Mapping[str, Any], node: Node, *, is_mart: bool) -> LiveModel:
    is_contract = node["config"]["contract"]["enforced"]
    return LiveModel(
        name=node["name"],
        sql=sql_of(manifest, node),
        columns=tuple((name, column["data_type"]) for name, column in node["columns"].items())
        if is_contract
        else (),
        is_mart=is_mart,
    )


def name_of(unique_id: str) -> str:
    """What SQL of a plan calls a relation: a model by its name, a dataset with its domain."""
    kind, _, *names = unique_id.split(".")
    return ".".join(names) if kind == "source" else names[0]


def sql_of(manifest: Mapping[str, Any], node: Node) -> str:
    """A model's compiled SQL, in which what it reads has the names of `name_of`."""
    sql = str(node["compiled_code"])
    for parent in read_by(node):
        found = (manifest["nodes"] | manifest["sources"])[parent]
        sql = sql.replace(found["relation_name"], f'"{name_of(parent)}"')
    return sql
