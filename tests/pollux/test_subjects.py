"""Ids of subjects are read as the data keep them, and are told from those of others in any text."""

import hashlib
import re
import time

import pytest

from pollux.personal import SUBJECTS
from pollux.subject_patterns import text_pattern
from pollux.subjects import (
    Subject,
    SubjectError,
    Suppressed,
    digest_of,
    emails_in,
    read_subject,
    subjects_in,
)

ANNA = Subject("member", "anna@example.org")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("member", " Anna@Example.org ", "anna@example.org"),
        ("household", "007", "7"),
        ("account", "9693465.0", "9693465"),
        ("customer", "7", "7"),
    ],
)
def test_every_spelling_of_an_id_is_one_subject(kind: str, text: str, expected: str) -> None:
    assert read_subject(kind, text) == Subject(kind, expected)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("dog", "7", "dog is no kind of subject: say household, customer, member, account."),
        ("member", "anna", "The id of a member is its email."),
        ("household", "anna", "The id of a household is a whole number."),
        ("account", "", "The id of a account is a whole number."),
        ("customer", "1.5", "The id of a customer is a whole number."),
    ],
)
def test_what_is_no_id_is_told_without_it(kind: str, text: str, message: str) -> None:
    with pytest.raises(SubjectError) as raised:
        read_subject(kind, text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "anna@example.org",
        '{"email":"anna@example.org"}',
        "to anna@example.org.",
        "a,anna@example.org,b",
    ],
)
def test_an_email_is_found_in_text(text: str) -> None:
    assert re.search(text_pattern(ANNA), text)
    assert emails_in(text) == {"anna@example.org"}


@pytest.mark.parametrize(
    "text",
    ["susanna@example.org", "x.anna@example.org", "anna@example.organic", "anna@example.org.uk"],
)
def test_an_email_that_is_a_part_of_anothers_is_not_found(text: str) -> None:
    assert not re.search(text_pattern(ANNA), text)
    assert ANNA not in subjects_in(text.encode())


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ('{"customer_id": 7}', True),
        ('{"customer_id":"007.0", "ts": 1}', True),
        ('{"customer_id": 77}', False),
        ('{"coupon_id": 7}', False),
        ("7", False),
    ],
)
def test_a_number_means_somebody_only_under_its_name(text: str, is_named: bool) -> None:
    found = re.search(text_pattern(Subject("customer", "7"), ["customer_id"]), text)
    assert bool(found) is is_named
    assert (Subject("customer", "7") in subjects_in(text.encode())) is is_named
    of_household = text.replace("customer_id", "household_key").encode()
    assert (Subject("household", "7") in subjects_in(of_household)) is is_named
    assert Subject("customer", "7") not in subjects_in(of_household)


@pytest.mark.parametrize("text", ["an\0na@example.org", "anna@example.org\0", "7\0"])
def test_nobody_has_an_id_that_no_column_holds(text: str) -> None:
    assert all("\0" not in found.id for found in subjects_in(text.encode()))
    for kind in SUBJECTS:
        with pytest.raises(SubjectError, match=f"The id of a {kind} is "):
            read_subject(kind, text)


@pytest.mark.parametrize("text", ["a", "@", "a@", "a'", ' "id":', '"id": "', '"id": 0', " "])
def test_a_long_message_is_looked_through_at_once(text: str) -> None:
    started = time.process_time()
    subjects_in((text * 200_000).encode())
    subjects_in((text + " " * 200_000).encode())
    assert time.process_time() - started < 2


def test_who_is_kept_out_is_known_by_a_salted_hash_alone() -> None:
    salt = b"s" * 32
    digest = hashlib.sha256(salt + b"member:anna@example.org").digest()
    assert digest_of(salt, *ANNA) == digest
    suppressed = Suppressed(salt, frozenset([digest]))
    assert suppressed.has(*ANNA)
    assert not suppressed.has("customer", ANNA.id)
    assert not Suppressed(b"t" * 32, frozenset([digest])).has(*ANNA)
    assert suppressed.among("member", ["b@c.d", ANNA.id]) == {ANNA.id}
    assert not Suppressed()
