"""Checks that a dataset's parts, rejects and load log add up: read = landed + rejected."""

from orchestration.load import landing
from orchestration.load.declarations import Dataset
from orchestration.load.load_log import read_load_log
from orchestration.load.rejects import read_rejects
from pollux.runtime.settings import Settings


def count_problems(settings: Settings, dataset: Dataset) -> list[str]:
    """One sentence for each count that does not add up."""
    log = {
        entry["part"]: entry
        for entry in read_load_log(settings)
        if (entry.get("domain"), entry.get("dataset")) == (dataset.domain, dataset.name)
        and entry.get("outcome") in {"landed", "replaced", "unchanged"}
    }
    problems = []
    for part in landing.parts(settings, dataset):
        entry = log.get(part.name)
        if entry is not None and entry["rows_read"] != part.rows_read:
            problems.append(
                f"{part.name}: {entry['rows_read']} rows were read, {part.rows_landed} landed "
                f"and {part.rows_rejected} were rejected"
            )
        rejects = landing.rejects_path(settings, dataset.domain, dataset.name, part.name)
        kept = sum(1 for _ in read_rejects(rejects))
        if kept != part.rows_rejected:
            problems.append(f"{part.name}: {part.rows_rejected} rejects, {kept} kept in {rejects}")
    return problems
