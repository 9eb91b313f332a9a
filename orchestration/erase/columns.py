"""In which columns a subject's id is, and the SQL that finds its rows in any table of DuckDB.

Belongs here: what the models' YAML says (`config.meta.identifies`), by name of the column. Does not
belong here: tables of the serving database, which carry contracts (`pollux.runtime.erasures`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from orchestration.load.declarations import parse_yaml
from orchestration.scans import identifier, literal
from pollux.personal import SUBJECTS
from pollux.subject_patterns import text_pattern
from pollux.subjects import MEMBER, Subject

_NUMBERS = ("BIGINT", "INTEGER", "HUGEINT")

# By kind: names of columns, and whether the id is the row's own or that of somebody it refers to.
IdColumns = Mapping[str, Mapping[str, bool]]


@dataclass
class Found:
    """The SQL of a subject in a table: whether a row is theirs, and values that refer to them."""

    rows: list[str] = field(default_factory=list)
    references: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows or self.references)

    @property
    def is_row(self) -> str:
        """Whether a row is a subject's own; never null."""
        return " or ".join(self.rows) or "false"

    @property
    def any(self) -> str:
        """Whether a row is a subject's own or refers to one."""
        return " or ".join([*self.rows, *self.references.values()]) or "false"


def declared_columns(project_dir: Path) -> dict[str, dict[str, bool]]:
    """The columns that the YAML of sources and models says hold an id."""
    found: dict[str, dict[str, bool]] = {kind: {} for kind in SUBJECTS}
    for path in sorted(project_dir.glob("models/**/*.yml")):
        for table in _tables(parse_yaml(path.read_text(encoding="utf-8"))):
            seen: set[str] = set()
            for column in table.get("columns") or ():
                kind = ((column.get("config") or {}).get("meta") or {}).get("identifies")
                if kind in found:
                    name = column["name"].lower()
                    # The first is the row's own in this table.
                    found[kind][name] = found[kind].get(name, False) or kind not in seen
                    seen.add(kind)
    return found


def columns_of(engine: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    """The columns of a table or scan of DuckDB, and their types."""
    described = engine.execute(f"describe from {source}").fetchall()
    return {name: type_ for name, type_, *_ in described}


def find(present: Mapping[str, str], subjects: Sequence[Subject], columns: IdColumns) -> Found:
    """The SQL that finds subjects in a table of these columns and types of DuckDB."""
    found = Found()
    for subject in subjects:
        for name, is_own in columns[subject.kind].items():
            for column, type_ in present.items():
                if column.lower() != name or (subject.kind != MEMBER) != (type_ in _NUMBERS):
                    continue
                condition = f"coalesce({_is(identifier(column), subject)}, false)"
                if is_own:
                    found.rows.append(condition)
                else:
                    before = found.references.get(column)
                    found.references[column] = f"{before} or {condition}" if before else condition
    return found


def _is(column: str, subject: Subject) -> str:
    if subject.kind == MEMBER:
        # A line of text names the email among others.
        return f"regexp_matches({column}, {literal(text_pattern(subject))})"
    return f"{column} = {subject.value}"


def _tables(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from document.get("models") or ()
    for source in document.get("sources") or ():
        yield from source.get("tables") or ()
