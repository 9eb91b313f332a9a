"""Subjects: the people and accounts that data are about, by kind and id.

Belongs here: reading an id as the data keep it, and the list of those who are kept out, as salted
hashes. Does not belong here: which columns hold an id (`pollux.personal`, the models' YAML).
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pollux import rules
from pollux.personal import SUBJECTS
from pollux.runtime.errors import PolluxError
from pollux.types import UnfitError, read_text

MEMBER = "member"
SALT_BYTES = 32
_FIELDS = re.compile(r'[,;|\t"\0]')
# Characters in JSON that are written as their numbers.
_NUMBERED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
# By which messages to the event service name somebody, and of which kind.
NAMES = {"id": "customer", "customer_id": "customer", "household_key": "household"}
_NAMED = re.compile(rf'"({"|".join(NAMES)})"\s*:\s*(?:"\s*)?0*(\d+)')
# Linear in the length of a message, which anyone may send. O'Neil's apostrophe is in the word.
_WORD = re.compile(r"(?:[^\0\s,;:<>(){}\[\]\"'\\]|(?<=[^\W_])'(?=[^\W_]))+")


class SubjectError(PolluxError):
    """A kind or an id that is none."""

    exit_code = 2


class Subject(NamedTuple):
    """Somebody by kind and id; `id` is a member's email in lower case, else a whole number."""

    kind: str
    id: str

    @property
    def value(self) -> int | str:
        """The id as columns hold it."""
        return self.id if self.kind == MEMBER else int(self.id)


def read_subject(kind: str, text: str) -> Subject:
    """The subject of a kind that an id, in any spelling, stands for; raises `SubjectError`."""
    if kind not in SUBJECTS:
        raise SubjectError(f"{kind} is no kind of subject: say {', '.join(SUBJECTS)}.")
    key = key_of(kind, text)
    if key is None:
        what = "its email" if kind == MEMBER else "a whole number"
        raise SubjectError(f"The id of a {kind} is {what}.")
    return Subject(kind, key)


def key_of(kind: str, text: str) -> str | None:
    """The id that a text is, None where it is none."""
    if "\0" in text:
        # No column holds it.
        return None
    if kind == MEMBER:
        return rules.email_key(text)
    try:
        number = read_text("id", text)
    except UnfitError:
        return None
    return None if number is None else str(number)


def may_be_of(subject: Subject, row: str) -> bool:
    """Whether a row as it came, readable or not, may be a subject's: some field of it is the id."""
    if subject.kind == MEMBER:
        return subject.id in emails_of(row)
    return subject.id in {key_of(subject.kind, field) for field in fields_of(row)}


def fields_of(row: str) -> list[str]:
    """What stands between separators in a row as it came."""
    return _FIELDS.split(row)


def emails_in(text: str) -> set[str]:
    """The emails that any text names, as ids of members."""
    words = (word for word in _WORD.findall(text) if "@" in word[1:-1])
    return {rules.text_key(word.rstrip(".")) for word in words}


def emails_of(row: str) -> set[str]:
    """The emails that a row as it came may be about; one that has blanks in it is a whole field."""
    return emails_in(row) | {rules.text_key(field) for field in fields_of(row) if "@" in field}


@dataclass(frozen=True)
class Suppressed:
    """Who was erased and is kept out; nobody can be read from it."""

    salt: bytes = b""
    digests: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.digests)

    def has(self, kind: str, key: str) -> bool:
        """Whether a subject is kept out."""
        return digest_of(self.salt, kind, key) in self.digests

    def among(self, kind: str, keys: Iterable[str]) -> set[str]:
        """Those of these ids that are kept out."""
        return {key for key in keys if self.has(kind, key)}


def digest_of(salt: bytes, kind: str, key: str) -> bytes:
    """The hash of a subject; the serving database makes the same (`pollux.runtime.erasures`)."""
    return hashlib.sha256(salt + f"{kind}:{key}".encode()).digest()


def subjects_in(message: bytes) -> set[Subject]:
    """Members, customers of the shop and households that a message to the event service names."""
    text = message.decode(errors="replace")
    members = {Subject(MEMBER, email) for email in emails_of(_NUMBERED.sub(_characters, text))}
    return members | {Subject(NAMES[name], found) for name, found in _NAMED.findall(text)}


def _characters(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("\\u", "")).decode("utf-16-be", errors="replace")
