"""What the source YAML declares for each dataset: files, format, key, and columns with types.

Belongs here: reading `models/staging/*/_*__sources.yml` and saying clearly what is wrong in it.
Does not belong here: anything that opens a data file.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from orchestration.load.column_rules import Rules
from orchestration.load.errors import LoadError
from pollux.personal import is_personal
from pollux.types import TYPES, DataType

# The source that `learn` lands; it is not loaded from files.
LEARNED = "learned"

# Rows of a table that a service fills: a build lands them, they are not loaded from files.
TABLE = "table"
FORMATS = ("csv", "parquet", "lines", TABLE)

_NUMBERS = {"integer", "money", "number"}

# The faster libyaml loader, if PyYAML was built with it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_NO_RULES = Rules()
_RULES = {field.name for field in fields(Rules)}


@dataclass(frozen=True)
class Column:
    """A declared column; `type` is a key of `TYPES`, `rules` say more of its values.

    `personal` says whether it holds personal data, `identifies` whose id it is (`pollux.personal`).
    """

    name: str
    type: str
    rules: Rules = _NO_RULES
    personal: bool = False
    identifies: str | None = None

    @property
    def data_type(self) -> DataType:
        """The type's definition: what it accepts, and how it is stored."""
        return TYPES[self.type]


@dataclass(frozen=True)
class Dataset:
    """A declared dataset. `domain` is the name of its dbt source, `files` are name patterns.

    `nulls` are texts that mean null in its files, besides a blank field.

    A dataset whose source has no marts of its own names in `feeds` the domains that use it.
    """

    domain: str
    name: str
    files: tuple[str, ...]
    format: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    feeds: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of column names, stored types and nulls, the same for all parts of a dataset."""
        columns: list[object] = [[column.name, column.data_type.stored] for column in self.columns]
        if self.nulls:
            columns.append(self.nulls)
        return hashlib.sha256(json.dumps(columns).encode()).hexdigest()

    @property
    def rules(self) -> str:
        """A hash of the columns' rules, blank where there are none."""
        rules = [[one.name, *astuple(one.rules)] for one in self.columns if one.rules != _NO_RULES]
        return hashlib.sha256(json.dumps(rules).encode()).hexdigest() if rules else ""

    @property
    def is_personal(self) -> bool:
        """Whether a row holds personal data, in whatever column a broken row has it."""
        return any(column.personal for column in self.columns)

    def is_own(self, column: Column) -> bool:
        """Whether an id says whose row it is; else the row refers to somebody by it."""
        of_kind = [one for one in self.columns if one.identifies == column.identifies]
        return column == of_kind[0]

    def matches(self, file_name: str) -> bool:
        """Whether a file of this name belongs to the dataset; case does not matter."""
        return any(fnmatchcase(file_name.lower(), pattern.lower()) for pattern in self.files)


def read_datasets(project_dir: Path) -> dict[tuple[str, str], Dataset]:
    """Return every dataset with a `config.meta.load` entry, by (domain, dataset).

    A source table without that entry is not loaded from files and is left out.

    Raises:
        LoadError: naming file, table and field, when a declaration cannot be used.

    """
    datasets: dict[tuple[str, str], Dataset] = {}
    for path in sorted(project_dir.glob("models/staging/*/_*__sources.yml")):
        for dataset in _read_file(path):
            key = (dataset.domain, dataset.name)
            if key in datasets:
                raise LoadError(f"{path}: {dataset.domain}.{dataset.name} is declared twice")
            datasets[key] = dataset
    return datasets


def _read_file(path: Path) -> Iterator[Dataset]:
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise LoadError(f"{path} is not YAML: {error}") from error
    for source in document.get("sources") or []:
        for table in source.get("tables") or []:
            meta = (table.get("config") or {}).get("meta") or {}
            if "load" in meta:
                where = f"{path}: {source.get('name')}.{table.get('name')}"
                yield _read_table(where, source, table, meta["load"] or {})


# Every step of a build asks for the declarations.
@lru_cache
def parse_yaml(content: str) -> dict[str, Any]:
    """The document of a YAML file of the project; it is not to be changed."""
    document: dict[str, Any] = yaml.load(content, Loader=_LOADER) or {}  # noqa: S506
    return document


def _read_table(
    where: str, source: dict[str, Any], table: dict[str, Any], load: dict[str, Any]
) -> Dataset:
    format_ = _plain(where, "format", load.get("format", "csv"))
    if format_ not in FORMATS:
        raise LoadError(f"{where}: unknown format {format_!r}; use {', '.join(FORMATS)}")
    files = _names(where, "files", load.get("files"))
    if not files and format_ != TABLE:
        raise LoadError(f"{where}: no file patterns; add config.meta.load.files")
    if files and format_ == TABLE:
        raise LoadError(f"{where}: format table comes from no files; remove config.meta.load.files")
    columns = tuple(_read_column(where, column) for column in table.get("columns") or [])
    if not columns:
        raise LoadError(f"{where}: no columns; list them with name and data_type")
    names = [column.name.lower() for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise LoadError(f"{where}: column {name} is declared twice")
    if format_ == "lines" and [column.type for column in columns] != ["text"]:
        raise LoadError(f"{where}: format lines needs one column of type text")
    key = _names(where, "key", load.get("key"))
    for name in key:
        if name.lower() not in names:
            raise LoadError(f"{where}: key column {name} is not among the columns")
    return Dataset(
        domain=_plain(where, "source name", source.get("name")),
        name=_plain(where, "table name", table.get("name")),
        files=files,
        format=format_,
        key=key,
        columns=columns,
        feeds=_names(where, "feeds", load.get("feeds")),
        nulls=_names(where, "nulls", load.get("nulls")),
    )


def _read_column(where: str, column: dict[str, Any]) -> Column:
    name = _plain(where, "column name", column.get("name"))
    type_ = _plain(f"{where}.{name}", "data_type", column.get("data_type"))
    if type_ not in TYPES:
        known = ", ".join(TYPES)
        raise LoadError(f"{where}.{name}: unknown data_type {type_!r}; use one of {known}")
    meta = (column.get("config") or {}).get("meta") or {}
    return Column(
        name,
        type_,
        _read_rules(f"{where}.{name}", TYPES[type_], meta),
        is_personal(name, meta),
        meta.get("identifies"),
    )


def _read_rules(where: str, type_: DataType, meta: dict[str, Any]) -> Rules:
    """The rules among what dbt lets a column say of itself in `meta`."""
    given = {name: value for name, value in meta.items() if name in _RULES}
    given["values"] = _names(where, "values", given.get("values"))
    if given["values"] and not type_.is_text:
        raise LoadError(f"{where}: values are for texts, not for {type_.name}")
    if not isinstance(given.get("required", False), bool):
        raise LoadError(f"{where}: required must be true or false")
    for name in ("min_value", "max_value", "decimals"):
        if name in given and (type_.name not in _NUMBERS or not _is_whole(given[name])):
            raise LoadError(f"{where}: {name} must be a whole number, of a column of numbers")
    return Rules(**given)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _names(where: str, field: str, value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value or []
    if not isinstance(values, list):
        raise LoadError(f"{where}: {field} must be a list")
    return tuple(_plain(where, field, item) for item in values)


def _plain(where: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise LoadError(f"{where}: {field} must be a text, not {value!r}")
    if "{{" in value or "{%" in value:
        raise LoadError(f"{where}: {field} may not hold Jinja, the loader reads it as it stands")
    return value
