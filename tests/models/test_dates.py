"""A data test checks that every served date and time is finite.

Those beside a day number need none: `date_of` works them out, and gives no date outside the years
1 to 9999.
"""

from collections.abc import Collection

import pytest

from tests.support.marts import declared_marts

MARTS = declared_marts()


def test_there_are_marts():
    assert len(MARTS) > 20


def has_its_day(name: str, columns: Collection[str]) -> bool:
    days = {name.removesuffix("date") + "day", name.removesuffix("_date")} - {name}
    return not days.isdisjoint(columns)


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart["name"])
def test_every_date_of_a_mart_is_tested_to_be_finite(mart):
    types = {one["name"]: one["data_type"] for one in mart["columns"]}
    dates = [
        name
        for name, type_ in types.items()
        if type_ in {"date", "timestamp"} and not has_its_day(name, types)
    ]
    tested = [
        column
        for test in mart.get("data_tests", [])
        if isinstance(test, dict) and "finite" in test
        for column in test["finite"]["arguments"]["columns"]
    ]
    assert tested == dates
