"""Takes out of the landing zone who is kept out: parts, and the text of rejected rows.

The rows of a part go in the way in which a load leaves them out. All parts change as one delivery.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestration.erase.changes import Note
from orchestration.load import journal, landing
from orchestration.load.declarations import read_datasets
from orchestration.load.rejects import blank_texts, read_rejects
from orchestration.load.suppression import names_suppressed, without_suppressed
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step
from pollux.subjects import Suppressed

if TYPE_CHECKING:
    from pathlib import Path

# The dataset in which a later event may give an order to another customer.
ORDERS = ("events", "order_lines")


def erase_landed(
    settings: Settings, suppressed: Suppressed, orders: Mapping[int, int], note: Note
) -> None:
    """Drops rows, and first notes how many; the caller holds the landing zone's lock.

    Of `orders` events up to a number go, too.
    """
    given = " or ".join(f"(order_id = {one} and number <= {n})" for one, n in orders.items())
    dropped: Counter[str] = Counter()
    moves: dict[Path, Path] = {}
    with landing.workspace(settings) as work, open_duckdb() as engine:
        for dataset in read_datasets(PROJECT_DIR).values():
            for part in landing.parts(settings, dataset):
                out = work / str(len(moves))
                is_order = (dataset.domain, dataset.name) == ORDERS
                rows = without_suppressed(
                    engine, dataset, part.path, suppressed, out, besides=given if is_order else ""
                )
                if out.exists():
                    moves[out] = part.path
                dropped[f"landing: {dataset.domain}.{dataset.name}"] += rows
        if moves:
            note(dropped)
            with landing.writable(settings.landing_dir):
                journal.commit(settings, moves=moves)
    step("erase.landing_written")


def erase_rejects(settings: Settings, suppressed: Suppressed, note: Note) -> None:
    """Blanks the texts of rejected rows that may be about somebody kept out; first notes how many.

    The caller holds the landing zone's lock.
    """
    named: dict[Path, set[str]] = {}
    texts = 0
    for dataset in read_datasets(PROJECT_DIR).values():
        for path in (settings.rejects_dir / dataset.domain / dataset.name).glob("*.csv"):
            raw = [row["raw"] for row in read_rejects(path)]
            about = [text for text in raw if text and names_suppressed(dataset, text, suppressed)]
            if about:
                named[path] = set(about)
                texts += len(about)
    note({"rejects": texts})
    for path, about_them in named.items():
        blank_texts(path, about_them.__contains__)
