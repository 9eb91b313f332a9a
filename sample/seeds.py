"""The dbt seeds in `seeds/`: a small cut of every domain's sample.

Belongs here: which domains have seeds. The domain's package says what is kept of a sample.

Run as `python -m sample.seeds seeds`.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from sample.customer import seeds as customer
from sample.household import seeds as household
from sample.loyalty import seeds as loyalty
from sample.store import seeds as store

WRITERS: dict[str, Callable[[Path], dict[str, int]]] = {
    "customer": customer.write_seeds,
    "household": household.write_seeds,
    "loyalty": loyalty.write_seeds,
    "store": store.write_seeds,
}


def write_seeds(to: Path) -> dict[str, int]:
    """Write `raw_<domain>__<dataset>.csv` for all domains; return rows by file name.

    Always the same bytes. Raises `SampleError` where `to` cannot be written.
    """
    rows: dict[str, int] = {}
    for write in WRITERS.values():
        rows |= write(to)
    return rows


def main(arguments: Iterable[str]) -> None:
    """Write the seeds into the folder named as the only argument."""
    (folder,) = arguments
    write_seeds(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
