"""Whoever is erased is found by an index: reading all of a mart takes as long as the mart is."""

import pytest

from orchestration.release.tables import indexes_of_subjects
from services.common.contracts import contract_of


@pytest.mark.parametrize(
    ("domain", "mart", "expected"),
    [
        # The key begins with the account's own number.
        ("customer", "customers", [["referrers_account_number"]]),
        ("customer", "customer_cashback", []),
        # Its key begins with the line, and an index of its own with the account.
        ("customer", "customer_broadband", []),
        ("household", "campaign_summary", []),
    ],
)
def test_an_id_that_begins_no_key_has_an_index(
    domain: str, mart: str, expected: list[list[str]]
) -> None:
    assert indexes_of_subjects(contract_of(domain, mart)) == expected
