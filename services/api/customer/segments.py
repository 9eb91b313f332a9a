"""Which segment a customer is in.

Belongs here: the segments of a release, which the models made of the project's variables. Does not
belong here: vouchers.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Segment(NamedTuple):
    """A segment by orders so far or by whole days since the last: its bounds, both included.

    A last number of None is all above the first.
    """

    segment_name: str
    segment: str
    first_number: int
    last_number: int | None


class Segments:
    """The segments of a release, in the order in which they count."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = tuple(segments)

    def of(self, segment_name: str, number: int) -> str | None:
        """The segment that a number of orders or of days is in; None where it is in none."""
        for one in self._segments:
            if (
                one.segment_name == segment_name
                and one.first_number <= number
                and (one.last_number is None or number <= one.last_number)
            ):
                return one.segment
        return None
