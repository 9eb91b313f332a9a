"""Which generator makes which domain's sample."""

from collections.abc import Callable
from pathlib import Path

from orchestration.sample.errors import SampleError
from orchestration.sample.household import generate_household

GENERATORS = {"household": generate_household}


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

    Raises `SampleError` for a domain without a generator, a scale that is none, or a folder that
    cannot be written.
    """
    if domain not in GENERATORS:
        known = ", ".join(sorted(GENERATORS))
        raise SampleError(f"There is no sample for domain {domain}; there is for: {known}.")
    return GENERATORS[domain](to, scale=scale, seed=seed, causal=causal, progress=progress)
