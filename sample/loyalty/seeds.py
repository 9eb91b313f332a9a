"""The loyalty domain's seeds: a small club's files, and lines for every reason to drop one.

Belongs here: how small the club is, and the lines written by hand. Does not belong here: all other
lines, which come from the sample (`club`, `promotions`).
"""

from pathlib import Path

import pyarrow as pa

from sample.files import write_csv
from sample.loyalty.club import list_lines
from sample.loyalty.generate import make_club, run_promotions

SEED = 1
_MEMBERS = 60

# A line of one blank: a seed's reader would skip an empty one.
_ODD_MEMBERS = (
    " ",
    ", , quoll_nobody, F",
    "SLEEPY.QUOLL@burrow.example.org, sleepy.quoll, , F",
    "sleepy.quoll@burrow.example.org, , , F",
)
_ODD_CONVERSIONS = (
    " ",
    ", ClickConversion, sleepy.quoll@burrow.example.org, Instagram",
    "BilbyMug, ViewConversion, sleepy.quoll@burrow.example.org, Instagram",
    "BilbyMug, ClickConversion, , Facebook",
    "BilbyMug, ClickConversion, sleepy.quoll@burrow.example.org",
    "BilbyMug, PurchaseConversion, sleepy.quoll@burrow.example.org, [9], free",
    # As often on one channel as on the other.
    "BilbyMug, ClickConversion, sleepy.quoll@burrow.example.org, Instagram",
    "BilbyMug, ClickConversion, Sleepy.Quoll@burrow.example.org, Facebook",
)


def write_seeds(to: Path) -> dict[str, int]:
    """Write `raw_loyalty__{loyalty_list,conversions}.csv`; return rows by file name.

    Always the same bytes. Raises `SampleError` where `to` cannot be written.
    """
    club = make_club(SEED, _MEMBERS)
    members = [person for chunk in club for person in chunk if person.is_member]
    done = run_promotions(SEED, club)
    contents = {
        "loyalty_list": [*list_lines(members), *_ODD_MEMBERS],
        "conversions": [
            *(line for part in done for line in part.clicks),
            *(line for part in done for line in part.baskets),
            *(line for part in done for line in part.purchases),
            *_ODD_CONVERSIONS,
        ],
    }
    rows = {}
    for name, lines in contents.items():
        table = pa.table({"line": pa.array(lines, pa.string())})
        path = to / f"raw_loyalty__{name}.csv"
        rows[path.name] = write_csv(path, table.schema, iter(table.to_batches()))
    return rows
