"""What a mart's YAML must say for the mart to be released, with the line of each fault.

Belongs here: the rules, and messages that say what to write. Does not belong here: reading a valid
contract (`graph`). A bare dbt run checks the first rule, by `macros/check_marts.sql`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestration.load.declarations import LEARNED, TABLE
from orchestration.transform import live
from orchestration.transform.errors import BuildError
from orchestration.transform.graph import all_marts, key_columns

# Both engines know them by these names, and services know how to write them.
TYPES = "text, integer, bigint, decimal(p, s), double precision, boolean, date, timestamp"
KNOWN_TYPE = re.compile(
    r"text|integer|bigint|decimal\(\d+, ?\d+\)|double precision|boolean|date|timestamp"
)
TABLES = ("table", "incremental")
IN_YAML = "its columns, primary key and config.meta.serving"

Node = Mapping[str, Any]
# The column concerned, if any, and what is wrong.
Fault = tuple[str | None, str]


class MartError(BuildError):
    """The marts' YAML does not allow a release; the message has a line for each fault."""


def check_marts(manifest: Mapping[str, Any], project_dir: Path) -> None:
    """Raises `MartError` with file and line of every fault that prevents a release."""
    domains = _domains(manifest)
    faults = [
        f"{_place(project_dir, node, column)}: {node['name']} {what}"
        for node in all_marts(manifest)
        for column, what in _faults(node, domains)
    ]
    faults += [
        f"{_place(project_dir, node, None)}: {node['name']} {what}"
        for node, what in live.faults(manifest)
    ]
    if faults:
        raise MartError("\n".join(sorted(faults)))


def _domains(manifest: Mapping[str, Any]) -> set[str]:
    """The domains with datasets of files."""
    found: set[str] = set()
    for source in manifest["sources"].values():
        load = source["config"]["meta"].get("load") or {}
        if load.get("format") != TABLE:
            found.add(source["source_name"])
    return found - {LEARNED}


def _faults(node: Node, domains: set[str]) -> Iterator[Fault]:
    yield from _misplaced(node, domains)
    if not node["patch_path"]:
        yield None, f"has no YAML: write {node['name']}.yml beside it, with {IN_YAML}"
        return
    if not node["config"]["contract"]["enforced"]:
        yield None, "has no contract: take contract.enforced: false out"
    yield from _untyped(node)
    key = key_columns(node)
    if not key:
        yield None, "has no primary key: add constraints with {type: primary_key, columns: [...]}"
    yield from _unknown(node, "primary key", key)
    serving = node["config"]["meta"].get("serving")
    if isinstance(serving, dict):
        yield from _unknown_indexes(node, serving.get("indexes") or [])
    else:
        yield (
            None,
            "does not say how it is served: add config.meta.serving with {indexes: []}",
        )


def _misplaced(node: Node, domains: set[str]) -> Iterator[Fault]:
    known = ", ".join(sorted(domains))
    # pollux, marts, domain, and the mart itself.
    domain = node["fqn"][2] if len(node["fqn"]) > 3 else None  # noqa: PLR2004
    if domain is None:
        yield None, f"lies in no domain: move it to models/marts/<domain>, one of {known}"
    elif domain not in domains:
        yield None, f"lies in {domain}, which no dataset is declared for; domains are {known}"
    kind = node["config"]["materialized"]
    if kind not in TABLES:
        yield None, f"is a {kind}; a mart must be a table"


def _untyped(node: Node) -> Iterator[Fault]:
    for name, column in node["columns"].items():
        data_type = column["data_type"]
        if not data_type:
            yield name, f"does not say the type of {name}: add data_type, one of {TYPES}"
        elif not KNOWN_TYPE.fullmatch(data_type.lower()):
            yield name, f"has {name} as {data_type}; types are {TYPES}"


def _unknown_indexes(node: Node, indexes: Sequence[Any]) -> Iterator[Fault]:
    for index in indexes:
        if isinstance(index, list) and index:
            yield from _unknown(node, "serving.indexes", index)
        else:
            yield None, f"has {index} in serving.indexes, which takes lists of columns: [[{index}]]"


def _unknown(node: Node, where: str, columns: Sequence[Any]) -> Iterator[Fault]:
    for column in columns:
        if column not in node["columns"]:
            yield None, f"names {column} in its {where}, and has no column of that name"


def _place(project_dir: Path, node: Node, column: str | None) -> str:
    """`models/marts/store/my_mart.yml:4`: where a model, or one of its columns, begins."""
    if not node["patch_path"]:
        return f"{node['original_file_path']}:1"
    path = node["patch_path"].partition("://")[2]
    model = _entry(yaml.compose((project_dir / path).read_text("utf-8")), "models", node["name"])
    found = (_entry(model, "columns", column) if column else None) or model
    return f"{path}:{found.start_mark.line + 1}" if found else path


def _entry(node: yaml.Node | None, listed: str, name: str) -> yaml.Node | None:
    """The entry of a name in one of a mapping's lists."""
    entries: list[yaml.Node] = [
        entry
        for key, value in (node.value if isinstance(node, yaml.MappingNode) else ())
        if key.value == listed
        for entry in value.value
    ]
    for entry in entries:
        if any(key.value == "name" and value.value == name for key, value in entry.value):
            return entry
    return None
