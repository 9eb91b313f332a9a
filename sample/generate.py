"""Which generator makes which domain's sample.

Belongs here: the domains that have a sample, and options that only some take. Does not belong here:
what a domain writes (its own `generate`), and seeds (`seeds`).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from sample.customer import generate_customer
from sample.errors import SampleError
from sample.household import generate_household
from sample.loyalty import generate_loyalty
from sample.store import generate_store


class Generator(Protocol):
    """Writes a domain's raw files to a folder; returns rows by file name."""

    def __call__(
        self, to: Path, *, scale: float, seed: int, progress: Callable[[str], None] | None
    ) -> dict[str, int]:
        """Raise `SampleError` where the files cannot be made or written."""


GENERATORS: dict[str, Generator] = {
    "customer": generate_customer,
    "household": generate_household,
    "loyalty": generate_loyalty,
    "store": generate_store,
}

# Domains that make all their promotion rows only on request.
_WITH_CAUSAL: dict[str, Generator] = {"household": partial(generate_household, causal=True)}


def generate(
    domain: str,
    to: Path,
    *,
    scale: float,
    seed: int,
    causal: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Writes a domain's raw files to a folder; returns rows by file name.

    Raises `SampleError` for a domain without a generator, `causal` of a domain that has no
    promotion rows, a scale or seed out of range, or a folder that cannot be written.
    """
    if domain not in GENERATORS:
        known = ", ".join(sorted(GENERATORS))
        raise SampleError(f"There is no sample for domain {domain}; there is for: {known}.")
    if causal and domain not in _WITH_CAUSAL:
        known = ", ".join(sorted(_WITH_CAUSAL))
        raise SampleError(f"Domain {domain} has no promotion rows (causal); only {known} has.")
    make = (_WITH_CAUSAL if causal else GENERATORS)[domain]
    return make(to, scale=scale, seed=seed, progress=progress)
