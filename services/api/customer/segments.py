"""Which segment a customer is in, by the bounds that a release holds."""

from collections.abc import Iterable
from typing import NamedTuple


class Segment(NamedTuple):
    """A segment's bounds, both included, in orders so far or in whole days since the last one.

    A last number of None means that there is no upper bound.
    """

    segment_name: str
    segment: str
    first_number: int
    last_number: int | None


class Segments:
    """The segments of a release, in order: the first that fits counts."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = tuple(segments)

    def of(self, segment_name: str, number: int) -> str | None:
        """The segment of a number of orders or days, or None."""
        for one in self._segments:
            if (
                one.segment_name == segment_name
                and one.first_number <= number
                and (one.last_number is None or number <= one.last_number)
            ):
                return one.segment
        return None
