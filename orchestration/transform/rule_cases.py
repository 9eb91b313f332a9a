"""Writes constants and answers of the rules in Python into macros, for builds to test the SQL.

    python -m orchestration.transform.rule_cases FILE [--check]

The rules are in `pollux.rules`, the comparison is in `tests/dbt`.
"""

# ruff: noqa: RUF001 - letters that look alike are what some cases are about

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pollux.rules import BLANKS, RULES, cases_of_letters
from pollux.types import LABEL_LENGTH

MACRO = """\
{{# Written by make contracts: texts, and what pollux/rules.py answers; none where nothing. #}}
-- fmt: off
{{% macro rule_cases(rule) -%}}
    {{{{ return({{
{rules}
    }}[rule]) }}}}
{{%- endmacro %}}

{{% macro blanks() -%}} {{{{ return({blanks}) }}}} {{%- endmacro %}}

{{% macro letters(case) -%}}
    {{{{ return({{
        "upper": "{upper}",
        "lower": "{lower}",
    }}[case]) }}}}
{{%- endmacro %}}
"""
# Of texts that mean the same and of some that do not, in several scripts.
_SPELLINGS = (
    "Summer",
    "SUMMER",
    " Summer\t",
    "\xa0Summer\u3000",
    "\ufeffSummer\u200b",
    "Sum mer",
    "",
    "Été",
    "E\u0301te\u0301",
    "ÉTÉ",
    "São Tomé",
    "SA\u0303O TOME\u0301",
    "ŁÓDŹ",
    "Ⱥ",
    "日本",
    "한국",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "ΌΔΥΣΣΕΎΣ",
    "όδυσσεύς",
    "ЖЁЛТЫЙ",
    "Е\u0308ЛКА",
    "İzmir",
    "I\u0307zmir",
    "ısı",
    "STRASSE",
    "Straße",
    "STRAẞE",
    "\u212aelvin",
    "\u212bngström",
    "A\u030angstro\u0308m",
    "J\u030cA",
    "ǅ",
    "Ⅷ",
    "Ａｂｃ",
    "ﬁ",
    "Việt Nam",
    "VIE\u0323\u0302T NAM",
    "VIE\u0302\u0323T NAM",
    "Ꭰ",
    "Ⴀ",
    "𐐀",
)
# Texts at the edges of each rule.
CASES: Mapping[str, tuple[str, ...]] = {
    "spelled": _SPELLINGS,
    "text_key": _SPELLINGS,
    "email_key": (
        "anna@example.org", "Anna.K@Example.ORG", " anna@example.org  ", "\tanna@example.org\f\n",
        "ÄNNE@example.org", "A\u0308nne.O\u0308z@example.org", "İ@example.org", "anna", "@",
        "an na@example.org", "anna'@example.org",
    ),
    "department": (
        "Sport", "Sports", "sports", "SPORTS", "sPoRt", "Sportswear", "Boys", "boys", " Sports",
        "Sports\xa0", "ſports", "Ka\u0308fer",
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


def macro_text() -> str:
    """The macros `rule_cases` (pairs of text and answer, by rule), `blanks` and `letters`."""
    rules = []
    for name, rule in RULES.items():
        lines = [f"            [{_text(given)}, {_text(rule(given))}]," for given in CASES[name]]
        rules.append(f'        "{name}": [\n' + "\n".join(lines) + "\n        ],")
    return MACRO.format(
        rules="\n".join(rules),
        blanks=_text(BLANKS),
        upper="".join(cases_of_letters()),
        lower="".join(cases_of_letters().values()),
    )


def _text(value: object) -> str:
    if value is None:
        return "none"
    text = str(value)
    # A JSON text is also a Jinja literal.
    return json.dumps(text, ensure_ascii=max(text, default="") <= "\uffff")


def main() -> int:
    """Writes the file; with --check only checks that it is up to date."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    text = macro_text()
    if not asked.check:
        asked.file.write_text(text)
    elif not asked.file.exists() or asked.file.read_text() != text:
        print(f"{asked.file} is not what pollux/rules.py says: make contracts", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
