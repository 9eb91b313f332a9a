"""What a release's live marts are evaluated from: the folder `live`, whose `models.json` it is.

Does not belong here: writing the folder's other files (`orchestration.transform.live_files`), and
evaluating them (`live_models`).
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

PLAN = "models.json"


@dataclass(frozen=True)
class LiveModel:
    """A model: SQL of DuckDB over models of the same plan, by their names.

    `columns` are names and types of a mart's contract, in order; other models have the types of
    their SQL. `is_mart` says whether it is answered live.
    """

    name: str
    sql: str
    columns: tuple[tuple[str, str], ...] = ()
    is_mart: bool = False


@dataclass(frozen=True)
class LearnedRows:
    """Rows that no SQL makes: `relation` is made from model `purchases` and what was learned."""

    relation: str
    purchases: str


@dataclass(frozen=True)
class LivePlan:
    """What a release's live marts are evaluated from; each name is that of a relation in the SQL.

    `released` and `customers` are files beside the plan: Parquet with what concerns the whole
    population, and lines of single customers (`live_lines`), each sorted by the column by which
    they are found: `key`, or that of an order or the like. `lines` are events, with columns and
    types of their dataset, and `days` has the day that live purchases move the window to. `models`
    come in the order in which they read each other. Where `learned` says so, there are also the
    files of `pollux.runtime.recommend.learned`.
    """

    domain: str
    key: str
    released: tuple[str, ...]
    customers: dict[str, str]
    lines: str
    lines_columns: tuple[tuple[str, str], ...]
    days: tuple[str, ...]
    models: tuple[LiveModel, ...]
    learned: LearnedRows | None = None


def read_plan(folder: Path) -> LivePlan:
    """The plan in a release's folder `live`; raises `OSError` or `ValueError`."""
    return TypeAdapter(LivePlan).validate_json((folder / PLAN).read_bytes())


def write_plan(folder: Path, plan: LivePlan) -> None:
    """Writes the plan into a folder."""
    (folder / PLAN).write_bytes(TypeAdapter(LivePlan).dump_json(plan, indent=1))
