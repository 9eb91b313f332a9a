"""Rules that Python and the models both apply, in Python.

Belongs here: how to read a text in the data, where services, the gateway or training must read it
as the models do. Does not belong here: rules that only one side has.

The models use macros of the same names. `make contracts` writes what these functions answer at
their edges into `macros/rule_cases.sql` (`orchestration.transform.rule_cases`), and tests in every
build compare the macros with it (`tests/dbt/assert_…_mean_what_they_do_in_python.sql`).
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache

from pollux.types import LABEL_LENGTH, MONEY_DIGITS

# What shows nothing and may stand around a text: no-break, ideographic and zero-width ones too.
BLANKS = (
    " \t\n\r\v\f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
CONVERSION_TYPES = {
    "clickconversion": "click",
    "basketconversion": "basket",
    "purchaseconversion": "purchase",
}
CENT = Decimal("0.01")
_TOTAL = re.compile(rf"[0-9]{{1,{MONEY_DIGITS}}}([.][0-9]{{1,2}})?", re.ASCII)
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


# At first use: most commands need none of it, and it takes longer than any import here.
@cache
def cases_of_letters() -> Mapping[str, str]:
    """Letters and their lower case, one for one: those of Unicode 3.2.

    Engines and their versions differ on what is a letter; this list stays, on all of them.
    """
    old = unicodedata.ucd_3_2_0
    found = {"\u03c2": "\u03c3"}
    for upper in map(chr, range(0x1_1000)):
        lower = upper.lower()
        if lower != upper and len(lower) == 1 and "Cn" not in map(old.category, (upper, lower)):
            found[upper] = lower
    return found


@cache
def _lower() -> dict[int, str]:
    return str.maketrans(dict(cases_of_letters()))


def spelled(text: str) -> str:
    """A name as the data keep it: accents composed (NFC), without blanks around it."""
    return unicodedata.normalize("NFC", text).strip(BLANKS)


def text_key(text: str) -> str:
    """What all spellings of a name have in common: as `spelled`, in lower case."""
    if text.isascii():
        return text.strip(BLANKS).lower()
    return unicodedata.normalize("NFC", spelled(text).translate(_lower()))


def email_key(text: str) -> str | None:
    """The email that identifies a person, None where the text is not an email (no @)."""
    return text_key(text) if "@" in text else None


def department(text: str) -> str:
    """The department of the shop that a text names: Sports is read as Sport."""
    return "Sport" if text_key(text) in {"sport", "sports"} else spelled(text)


def conversion_type(text: str) -> str | None:
    """click, basket or purchase, from the word used in files; None for any other word."""
    return CONVERSION_TYPES.get(text.strip(BLANKS).translate(_ASCII_LOWER))


def label(text: str) -> str | None:
    """A name such as an email or a channel, None where it is too long."""
    return text if len(text) <= LABEL_LENGTH else None


def item_list(text: str) -> str | None:
    """The items of a list such as [6; 14;], as 6;14; None for an empty list."""
    listed = text.strip(BLANKS).translate(dict.fromkeys(map(ord, "[] ")))
    return listed.strip(";") or None


def conversion_total(text: str) -> Decimal | None:
    """The total of a purchase in dollars, None where it cannot be read."""
    total = text.strip(BLANKS)
    return Decimal(total).quantize(CENT) if _TOTAL.fullmatch(total) else None


def gender_field(line: str) -> str | None:
    """The gender in a line of the loyalty list: its last field, if it has more than three."""
    fields = line.split(",")
    return fields[-1].strip(BLANKS) or None if len(fields) > len(("email", "fb", "insta")) else None


RULES: Mapping[str, Callable[[str], str | Decimal | None]] = {
    function.__name__: function
    for function in (
        spelled,
        text_key,
        email_key,
        department,
        conversion_type,
        label,
        item_list,
        conversion_total,
        gender_field,
    )
}
