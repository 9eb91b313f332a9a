"""Writes constants and answers of the rules in Python into macros, for builds to test the SQL.

    python -m orchestration.transform.rule_cases FILE [--check]

Rules and cases are in `pollux.rules`, the comparison is in `tests/dbt`.
"""

import argparse
import json
import sys
from pathlib import Path

from pollux.rules import BLANKS, CASES, CASES_OF_LETTERS, RULES

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


def macro_text() -> str:
    """The macros `rule_cases` (pairs of text and answer, by rule), `blanks` and `letters`."""
    rules = []
    for name, rule in RULES.items():
        lines = [f"            [{_text(given)}, {_text(rule(given))}]," for given in CASES[name]]
        rules.append(f'        "{name}": [\n' + "\n".join(lines) + "\n        ],")
    return MACRO.format(
        rules="\n".join(rules),
        blanks=_text(BLANKS),
        upper="".join(CASES_OF_LETTERS),
        lower="".join(CASES_OF_LETTERS.values()),
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
