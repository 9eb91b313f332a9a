"""Whether the YAML of sources and models says which columns hold personal data.

`make check` runs it, over every column that the YAML names. A build does not: where nothing is
said, `pollux.personal` goes by the column's name. Belongs here: the rules, and messages that say
what to write. Does not belong here: what the property means (`pollux.personal`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestration.transform.errors import BuildError
from pollux.personal import SUBJECTS, looks_identifying, looks_personal

KINDS = "model", "source", "seed"

Node = Mapping[str, Any]


class PersonalError(BuildError):
    """Columns do not say whether they hold personal data; the message has a line for each."""


def check_personal(manifest: Mapping[str, Any]) -> None:
    """Raises `PersonalError` with file, table and column of everything that is not said."""
    nodes = {**manifest["nodes"], **manifest["sources"]}
    faults = [
        f"{_file(node)}: {node['name']}.{column} {fault}"
        for unique_id, node in nodes.items()
        if unique_id.partition(".")[0] in KINDS
        for column, fault in _faults(node, _parents(manifest, nodes, unique_id))
    ]
    if faults:
        raise PersonalError("\n".join(sorted(faults)))


def _parents(manifest: Mapping[str, Any], nodes: Mapping[str, Node], unique_id: str) -> list[Node]:
    found = manifest.get("parent_map", {}).get(unique_id, ())
    return [nodes[parent] for parent in found if parent in nodes]


def _faults(node: Node, parents: list[Node]) -> Iterator[tuple[str, str]]:
    for name in node.get("columns", ()):
        said = _meta(node, name)
        above = [meta for parent in parents if (meta := _meta(parent, name)).get("personal")]
        subjects = {meta["identifies"] for meta in above if "identifies" in meta}
        for fault in _faults_of(name, said, subjects, is_personal_above=bool(above)):
            yield name, fault


def _faults_of(
    name: str, said: Mapping[str, Any], subjects: set[str], *, is_personal_above: bool
) -> Iterator[str]:
    identifies = said.get("identifies")
    if "personal" not in said:
        if is_personal_above:
            yield "is personal data where it comes from: add config.meta.personal, true or false"
        elif looks_personal(name):
            yield "looks like personal data: add config.meta.personal, true or false"
        elif identifies is not None:
            yield "has config.meta.identifies, and not personal: true"
    elif not isinstance(said["personal"], bool):
        yield f"has {said['personal']!r} as config.meta.personal: write true or false"
    elif identifies is not None and not said["personal"]:
        yield "has config.meta.identifies: write personal: true"
    elif identifies is not None and identifies not in SUBJECTS:
        yield f"identifies {identifies!r}: write one of {', '.join(SUBJECTS)}"
    elif said["personal"] and identifies is None and subjects:
        yield f"is an id where it comes from: add config.meta.identifies: {min(subjects)}"
    elif said["personal"] and identifies is None and looks_identifying(name):
        yield f"looks like an id: add config.meta.identifies, one of {', '.join(SUBJECTS)}"


def _file(node: Node) -> str:
    # A model's own file is its SQL.
    patch: str = node.get("patch_path") or node["original_file_path"]
    return patch.rpartition("://")[2]


def _meta(node: Node, column: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node.get("columns", {}).get(column, {}).get("config", {})
    return found.get("meta") or {}
