"""Rules that Python and the models both apply, in Python.

Belongs here: what a text of the data means, where services, the gateway or training must know it as
the models do. Does not belong here: rules that only one side has.

The models' side are macros of the same names. `make contracts` writes what these functions answer
for `CASES` into `macros/rule_cases.sql`, and tests of every build hold the macros to those answers
(`tests/dbt/assert_…_mean_what_they_do_in_python.sql`).
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

BLANKS = " \t\n\r\v\f"
CONVERSION_TYPES = {
    "clickconversion": "click",
    "basketconversion": "basket",
    "purchaseconversion": "purchase",
}
CENT = Decimal("0.01")
# Characters of a label, digits of an amount before the point: the variables of these names.
LABEL_LENGTH = 255
MONEY_DIGITS = 10
_TOTAL = re.compile(rf"[0-9]{{1,{MONEY_DIGITS}}}([.][0-9]{{1,2}})?", re.ASCII)
# Only A to Z, as the models do it on every engine.
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def spelled_email(text: str) -> str:
    """An email as it is compared: without blanks around it, A to Z in lower case."""
    return text.strip(BLANKS).translate(_LOWER)


def email_key(text: str) -> str | None:
    """The email by which a person is found, None where a text holds none (no @)."""
    return spelled_email(text) if "@" in text else None


def department(text: str) -> str:
    """The department of the shop that a text means: Sport where it says Sports."""
    return "Sport" if text.translate(_LOWER) in {"sport", "sports"} else text


def conversion_type(text: str) -> str | None:
    """click, basket or purchase, by the word that files have for it; None for another."""
    return CONVERSION_TYPES.get(text.strip(BLANKS).translate(_LOWER))


def label(text: str) -> str | None:
    """A name such as an email or a channel, None where it is too long for one."""
    return text if len(text) <= LABEL_LENGTH else None


def item_list(text: str) -> str | None:
    """The items of a list such as [6; 14;] as 6;14; None where there are none."""
    listed = text.strip(BLANKS).translate(dict.fromkeys(map(ord, "[] ")))
    return listed.strip(";") or None


def conversion_total(text: str) -> Decimal | None:
    """The total of a purchase in dollars, None where it cannot be read."""
    total = text.strip(BLANKS)
    return Decimal(total).quantize(CENT) if _TOTAL.fullmatch(total) else None


def gender_field(line: str) -> str | None:
    """The gender in a line of the loyalty list: its last field, where there are more than three."""
    fields = line.split(",")
    return fields[-1].strip(BLANKS) or None if len(fields) > len(("email", "fb", "insta")) else None


RULES: Mapping[str, Callable[[str], str | Decimal | None]] = {
    function.__name__: function
    for function in (
        email_key,
        department,
        conversion_type,
        label,
        item_list,
        conversion_total,
        gender_field,
    )
}
# Texts at the edges of each rule.
CASES: Mapping[str, tuple[str, ...]] = {
    "email_key": (
        "anna@example.org", "Anna.K@Example.ORG", " anna@example.org  ", "\tanna@example.org\f\n",
        "ÄNNE@example.org", "İ@example.org", "anna", "@", "an na@example.org", "anna'@example.org",
    ),
    "department": (
        "Sport", "Sports", "sports", "SPORTS", "sPoRt", "Sportswear", "Boys", "boys", " Sports",
    ),
    "conversion_type": (
        "clickConversion", "CLICKCONVERSION", "basketConversion", " purchaseConversion\t",
        "click", "purchase Conversion", "clickconversions", "clic\u212aConversion",
    ),
    "label": ("", "a@b.c", "é" * LABEL_LENGTH, "é" * (LABEL_LENGTH + 1)),
    "item_list": (
        "[6;14]", "[ 6; 14; ]", "6;14", ";6;", "[]", ";;", "[6;;14]", "\t[7]", "[a b]", "6]14",
    ),
    "conversion_total": (
        "12.5", "12.50", "12", "0", "0.01", "9999999999.99", "10000000000", "12.505",
        "-1", "+1", "1,5", ".5", "5.", "1e3", " 7.25\t", "\uff17", "",
    ),
    "gender_field": (
        "a@b,fb,insta,F", "a@b,fb,insta,x,y, M ", "a@b,fb,insta", "a@b,fb,insta,", "a@b",
        "a@b,,,\tF",
    ),
}  # fmt: skip
