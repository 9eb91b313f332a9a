"""The way in: the customer domain's five files at a scale.

Belongs here: which files there are, how large at scale 1, in which order. Does not belong here:
their rows (`vouchers`, `accounts`, `enrichments`), and how files are written
(`sample.files`).
"""

from collections.abc import Callable
from pathlib import Path

from sample.asked import check_scale_and_seed, make_folder
from sample.customer import accounts, enrichments, vouchers
from sample.files import write_csv, write_parquet

ASSIGNMENTS = 500_000
ACCOUNTS = 2_000_000


def generate_customer(
    to: Path,
    *,
    scale: float = 1.0,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write voucher assignments, accounts and their enrichments to a folder; return rows by file.

    Scale 1 has 500,000 assignments and 2,000,000 accounts with some 600,000 broadband services,
    4 million initial services and 1.5 million months of cashback; another scale (above 0, up to
    100) has them in proportion, never fewer than one account, which is then 9693465. The same
    arguments give the same bytes. `progress` is told of each file begun.

    Raises `SampleError` for a scale or seed out of range, or a folder that cannot be written.
    """
    check_scale_and_seed(scale, seed)
    make_folder(to)
    say = progress or (lambda _: None)
    rows: dict[str, int] = {}

    say("writing voucher_assignments.parquet")
    assigned = vouchers.voucher_batches(seed, max(round(ASSIGNMENTS * scale), 1))
    path = to / "voucher_assignments.parquet"
    rows[path.name] = write_parquet(path, vouchers.SCHEMA, assigned)

    base = accounts.Base(seed, max(round(ACCOUNTS * scale), 1))
    tables = {
        "customer_accounts": (accounts.SCHEMA, base.batches()),
        "broadband_services": (
            enrichments.BROADBAND_SCHEMA,
            enrichments.broadband_batches(base),
        ),
        "initial_services": (
            enrichments.INITIAL_SERVICES_SCHEMA,
            enrichments.initial_service_batches(base),
        ),
        "cashback": (enrichments.CASHBACK_SCHEMA, enrichments.cashback_batches(base)),
    }
    for name, (schema, batches) in tables.items():
        say(f"writing {name}.csv")
        rows[f"{name}.csv"] = write_csv(to / f"{name}.csv", schema, batches)
    return rows
