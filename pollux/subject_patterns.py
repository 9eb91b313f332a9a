"""Regular expressions that find a subject in any text, in whatever spelling, and not somebody else.

Belongs here: patterns for text, for bytes of files, and for bytes as PostgreSQL escapes them.
Python, PostgreSQL and DuckDB read those of text alike. Does not belong here: where to look.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from pollux.rules import cases_of_letters
from pollux.subjects import MEMBER, NAMES, Subject

# What may not stand beside an email, else it is a part of a longer one. Left of it these are also
# letters that have a small and a capital form, accents, and an apostrophe after any of them.
_LETTERS = "\u00c0-\u058f\u1e00-\u1fff"
_BEFORE = f"(?:^|[^A-Za-z0-9._%+'{_LETTERS}-]|(?:^|[^A-Za-z0-9{_LETTERS}])')"
_LETTER_BYTES = (r"[A-Za-z0-9]", r"[\xc3-\xd6][\x80-\xbf]", r"\xe1[\xb8-\xbf][\x80-\xbf]")
_BEFORE_BYTES = "".join(
    rf"(?<!{one})" for one in (r"[._%+-]", *_LETTER_BYTES, *(f"{one}'" for one in _LETTER_BYTES))
)
# Other characters, such as blanks and quotation marks, have numbers in front of the email.
_BEFORE_ESCAPED = (
    "(?:^|[^A-Za-z0-9._%+'-]|(?:^|[^A-Za-z0-9])'"
    r"|\\302\\[0-7]{3}|\\3(?:4[02-7]|[5-7][0-7])(?:\\[0-7]{3}){2,3}"
    r"|\\\\u(?:00[abAB][0-9a-fA-F]|[2-9a-fA-F][0-9a-fA-F]{3}))"
)
_AFTER = r"(?:$|[^A-Za-z0-9.-]|\.(?:$|[^A-Za-z0-9]))"
# What no program writes as a number.
_PLAIN = re.compile(r"[A-Za-z0-9@._-]")
_HIGH, _HEX = re.compile(r"[\x80-\xff]"), re.compile("[a-f]")


def text_pattern(subject: Subject, names: Iterable[str] = ()) -> str:
    """Finds a subject in text: an email alone, a number only under one of these names in JSON."""
    return _pattern(subject, names, _BEFORE, re.escape)


def byte_pattern(subject: Subject, names: Iterable[str] = ()) -> bytes:
    """The same in bytes of UTF-8, for Python alone."""
    return _pattern(subject, names, _BEFORE_BYTES, re.escape).encode()


def message_pattern(subject: Subject) -> str:
    """Finds a subject in a message, as PostgreSQL writes its bytes with `encode(…, 'escape')`.

    In JSON, a character may be written as its number.
    """
    names = [name for name, kind in NAMES.items() if kind == subject.kind]
    return _pattern(
        subject, names, _BEFORE_ESCAPED, lambda spelled: "".join(map(_in_message, spelled))
    )


def _in_message(character: str) -> str:
    if _PLAIN.fullmatch(character):
        return re.escape(character)
    octal = _HIGH.sub(
        lambda found: f"\\{ord(found[0]):03o}",
        character.encode().replace(b"\\", b"\\\\").decode("latin-1"),
    )
    units = character.encode("utf-16-be").hex("-", 2).split("-")
    number = "".join(
        r"\\\\u" + _HEX.sub(lambda found: f"[{found[0]}{found[0].upper()}]", unit) for unit in units
    )
    return f"(?:{re.escape(octal)}|{number})"


def sure_part(subject: Subject) -> bytes:
    """Bytes in lower case that are in every spelling of an id: looked for first, they are fast."""
    if subject.kind != MEMBER:
        return subject.id.encode()
    runs = [""]
    for character in subject.id:
        if spellings(character) <= {character, character.upper()} and character.isascii():
            runs[-1] += character
        else:
            runs.append("")
    return max(runs, key=len).encode()


def _pattern(
    subject: Subject, names: Iterable[str], before: str, write: Callable[[str], str]
) -> str:
    if subject.kind != MEMBER:
        return rf'"({"|".join(names)})"\s*:\s*("\s*)?0*{subject.id}(\.0*)?\s*["}},]'
    email = "".join(
        f"(?:{'|'.join(map(write, sorted(spellings(character))))})" for character in subject.id
    )
    return f"{before}{email}{_AFTER}"


def spellings(character: str) -> set[str]:
    """What may stand for a character of a `text_key`: in either case, composed or not."""
    either = {character} | _others().get(character, set())
    composed = either | {one for found in either for one in _same().get(found, set())}
    return composed | {unicodedata.normalize("NFD", one) for one in composed}


@cache
def _others() -> dict[str, set[str]]:
    """Letters by the letter in lower case that a key has for them."""
    found: dict[str, set[str]] = {}
    for letter, lower in cases_of_letters().items():
        found.setdefault(lower, set()).add(letter)
    return found


@cache
def _same() -> dict[str, set[str]]:
    """Characters that Unicode composes to another one, such as the sign of kelvin to K."""
    found: dict[str, set[str]] = {}
    for one in map(chr, range(0x1_1000)):
        composed = unicodedata.normalize("NFC", one)
        if composed != one and len(composed) == 1:
            found.setdefault(composed, set()).add(one)
    return found
