"""Which segment a customer is in.

Belongs here: the bounds of the segments, as the models have them (the variables
`frequency_segments` and `recency_segments` of the dbt project; a test holds that both are the
same). Does not belong here: vouchers.
"""

from collections.abc import Mapping
from typing import Literal

# First and last whole number of each; a last one of None is all above. Orders so far, and whole
# days since the last order.
SEGMENTS: Mapping[str, Mapping[str, tuple[int, int | None]]] = {
    "frequency_segment": {"0-4": (0, 4), "5-13": (5, 13), "14-37": (14, 37)},
    "recency_segment": {
        "30-60": (30, 60),
        "61-90": (61, 90),
        "91-120": (91, 120),
        "121-180": (121, 180),
        "180+": (181, None),
    },
}


def segment_of(name: Literal["frequency_segment", "recency_segment"], number: int) -> str | None:
    """The segment that a number of orders or of days is in; None where it is in none."""
    for segment, (first, last) in SEGMENTS[name].items():
        if first <= number and (last is None or number <= last):
            return segment
    return None
