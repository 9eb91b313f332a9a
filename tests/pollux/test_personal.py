"""Which names look like personal data, and what a column is of which nobody says so."""

import pytest

from pollux.contracts import Column, read_contract
from pollux.personal import looks_identifying, looks_personal


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "e_mail",
        "Email",
        "fb_user",
        "insta_user",
        "first_name",
        "billing_address",
        "phone_number",
        "birth_date",
        "dob",
        "card_number",
        "iban",
        "gender",
        "age",
        "age_45_plus",
        "income_50K_plus",
        "marital_status_code",
        "has_kids",
        "customer_id",
        "household_key",
        "account_number",
        "member_id",
        "household_size_desc",
        "hh_comp_desc",
    ],
)
def test_name_looks_personal(name: str) -> None:
    assert looks_personal(name)


@pytest.mark.parametrize(
    "name",
    [
        "households",
        "customers_reached",
        "mailer",
        "usage",
        "package",
        "page",
        "product_id",
        "basket_id",
        "discount",
        "message",
        "segment",
    ],
)
def test_name_does_not_look_personal(name: str) -> None:
    assert not looks_personal(name)


def test_ids_of_subjects_look_like_ids() -> None:
    assert looks_identifying("customer_id")
    assert looks_identifying("referrers_account_number")
    assert not looks_identifying("product_id")
    assert not looks_identifying("email")


def test_column_of_an_older_release_is_judged_by_its_name() -> None:
    contract = read_contract(
        '{"name": "members", "key": ["email"], "indexes": [], "columns": ['
        '{"name": "email", "data_type": "text", "is_required": true},'
        '{"name": "joined_at", "data_type": "timestamp", "is_required": false},'
        '{"name": "name", "data_type": "text", "is_required": false, "personal": false}]}'
    )
    assert [column.is_personal for column in contract.columns] == [True, False, False]


def test_what_is_said_counts_more_than_the_name() -> None:
    assert Column(name="notes", data_type="text", is_required=False, personal=True).is_personal
