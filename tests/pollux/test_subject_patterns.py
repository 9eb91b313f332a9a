"""Subjects are found in whatever spelling the project takes for the same, by every engine alike."""

import json
import re
import unicodedata

import duckdb
import pytest

from pollux.subject_patterns import byte_pattern, message_pattern, sure_part, text_pattern
from pollux.subjects import Subject, emails_in, emails_of, read_subject, subjects_in

# Each is Åsa Kühn, but for the blanks around it.
SPELLINGS = [
    "åsa.kühn@example.org",
    "ÅSA.KÜHN@EXAMPLE.ORG",
    unicodedata.normalize("NFD", "Åsa.Kühn@example.org"),
    # The sign of angstrom, and that of kelvin.
    "\u212bsa.\u212aühn@example.org",
]
ASA = Subject("member", SPELLINGS[0])
OTHERS = [
    "asa.kuhn@example.org",
    "xåsa.kühn@example.org",
    "éåsa.kühn@example.org",
    "e\u0301åsa.kühn@example.org",
    "o'åsa.kühn@example.org",
    "é'åsa.kühn@example.org",
    "åsa.kühn@example.org.uk",
]
# What may stand right before an email in a text.
BEFORE = ["'", "='", "(", "\u00a0", "\u200b", "\u2018", "\uff1a"]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_every_spelling_is_found_in_text_bytes_and_messages(spelled: str) -> None:
    assert read_subject("member", f" {spelled}\u200b") == ASA
    text = f'{{"email":"{spelled}"}}'
    assert emails_in(text) == {ASA.id}
    assert re.search(text_pattern(ASA), text)
    assert re.search(byte_pattern(ASA), text.encode())
    assert sure_part(ASA) in text.encode().lower()
    for message in (text, json.dumps({"email": spelled})):
        assert subjects_in(message.encode()) == {ASA}
        assert re.search(message_pattern(ASA), escaped(message.encode()))
    query = "select regexp_matches($1, $2), regexp_matches($3, $4)"
    values = [text, text_pattern(ASA), escaped(text.encode()), message_pattern(ASA)]
    assert duckdb.execute(query, values).fetchall() == [(True, True)]


@pytest.mark.parametrize("email", OTHERS)
def test_whoever_is_somebody_else_is_not_found(email: str) -> None:
    text = f'{{"email":"{email}"}}'
    assert not re.search(text_pattern(ASA), text)
    assert not re.search(byte_pattern(ASA), text.encode())
    for message in (text, json.dumps({"email": email})):
        assert not re.search(message_pattern(ASA), escaped(message.encode()))
    assert subjects_in(text.encode()) == {read_subject("member", email)}
    query = "select regexp_matches($1, $2)"
    assert duckdb.execute(query, [text, text_pattern(ASA)]).fetchall() == [(False,)]


@pytest.mark.parametrize("before", BEFORE)
def test_an_email_is_found_whatever_mark_stands_before_it(before: str) -> None:
    text = f"to {before}{ASA.id}'"
    assert re.search(text_pattern(ASA), text)
    assert re.search(byte_pattern(ASA), text.encode())
    for message in (text, json.dumps([text])):
        assert re.search(message_pattern(ASA), escaped(message.encode()))


def test_an_email_with_a_blank_is_found_between_separators() -> None:
    anna = read_subject("member", "Anna B@example.org")
    assert anna.id in emails_of("Hoodie,clickConversion,anna b@EXAMPLE.org,Facebook")
    assert anna in subjects_in(b'{"email": "Anna B@example.org"}')


@pytest.mark.parametrize(
    ("email", "expected"),
    [("anna@example.org", b"anna@example.org"), ("nick@mail.org", b"@mail.org")],
)
def test_a_sure_part_has_no_letter_that_a_sign_may_stand_for(email: str, expected: bytes) -> None:
    assert sure_part(Subject("member", email)) == expected


def escaped(message: bytes) -> str:
    """As PostgreSQL's documentation says of `encode(…, 'escape')`."""
    return "".join(
        f"\\{byte:03o}" if byte >= 0x80 or byte == 0 else "\\\\" if byte == 0x5C else chr(byte)
        for byte in message
    )
