"""The segments of the API are those of the models."""

from typing import Any, Literal

import pytest
import yaml

from services.api.customer.segments import SEGMENTS, segment_of
from tests.conftest import PROJECT_DIR


def test_segments_are_those_of_the_dbt_project() -> None:
    variables = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    declared: dict[str, Any] = {
        name: {one["name"]: (one["first"], one.get("last")) for one in variables[f"{name}s"]}
        for name in ("frequency_segment", "recency_segment")
    }
    assert declared == SEGMENTS


@pytest.mark.parametrize(
    ("name", "number", "segment"),
    [
        ("frequency_segment", 0, "0-4"),
        ("frequency_segment", 4, "0-4"),
        ("frequency_segment", 5, "5-13"),
        ("frequency_segment", 13, "5-13"),
        ("frequency_segment", 14, "14-37"),
        ("frequency_segment", 37, "14-37"),
        ("frequency_segment", 38, None),
        ("recency_segment", 0, None),
        ("recency_segment", 29, None),
        ("recency_segment", 30, "30-60"),
        ("recency_segment", 60, "30-60"),
        ("recency_segment", 61, "61-90"),
        ("recency_segment", 90, "61-90"),
        ("recency_segment", 91, "91-120"),
        ("recency_segment", 120, "91-120"),
        ("recency_segment", 121, "121-180"),
        ("recency_segment", 180, "121-180"),
        ("recency_segment", 181, "180+"),
        ("recency_segment", 700_000, "180+"),
    ],
)
def test_edges_of_segments(
    name: Literal["frequency_segment", "recency_segment"], number: int, segment: str | None
) -> None:
    assert segment_of(name, number) == segment
