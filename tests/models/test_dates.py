"""A data test checks that every served date and time is finite."""

import pytest

from tests.support.marts import declared_marts

MARTS = declared_marts()


def test_there_are_marts():
    assert len(MARTS) > 20


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart["name"])
def test_every_date_of_a_mart_is_tested_to_be_finite(mart):
    dates = [one["name"] for one in mart["columns"] if one["data_type"] in {"date", "timestamp"}]
    tested = [
        column
        for test in mart.get("data_tests", [])
        if isinstance(test, dict) and "finite" in test
        for column in test["finite"]["arguments"]["columns"]
    ]
    assert tested == dates
