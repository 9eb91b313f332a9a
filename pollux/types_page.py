"""docs/types.md from the table of types: `python -m pollux.types_page > docs/types.md`.

Belongs here: the page's words and how a spelling is shown. Does not belong here: what is taken.
"""

import json
import sys
from collections.abc import Iterable

from pollux.types import TYPES, DataType, Spelling, invisible, write_text

_HEAD = """# Types of data

Written by `python -m pollux.types_page` from the table that the code reads by (`pollux/types.py`);
tests hold every line below to be so, at each door.

A type holds what every later stage can hold: the landing zone, the models on both engines,
PostgreSQL and its indexes, the API. A spelling that loses nothing is taken; one that may have lost
something is refused with a reason, and what exceeds a range or a length with the limit. In a file
that is a reject: the other rows land.

| type | holds | DuckDB | PostgreSQL |
| --- | --- | --- | --- |
"""
_RULES = """
- A blank field, or one of blanks only, is null for every type but `text` and `label`, whose blanks
  count; there only an empty one is null. Blanks around any other value do not count. JSON's `null`
  is null.
- Words such as NA, NULL or \\N are no null by themselves. A dataset that uses them declares it:
  `nulls: [NA, "\\\\N"]` beside `files`.
- A line of text (format `lines`) lands as it stands, whatever its length; models judge its fields.
- Parquet columns are judged like the text of their values. Nested columns, times of day and
  intervals are refused for the whole file, as is a declared column that is there twice. INT96 times
  and decimals of more than 38 digits keep all their digits until they are judged.
- A value with a character that a screen does not show, such as U+FEFF, says so where it is refused.
  In the names of columns such characters do not count.
"""
_DOORS = (
    ("text", "A field of a CSV file, a text in JSON or in a text column of Parquet"),
    ("json", "A value of JSON or Python"),
    ("parquet", "A column of Parquet, as SQL of DuckDB"),
)
_LONGEST = 60


def page() -> str:
    """The whole page."""
    rows = "".join(
        f"| [`{one.name}`](#{one.name}) | {one.holds} | {one.duckdb} | {one.postgres} |\n"
        for one in TYPES.values()
    )
    return _HEAD + rows + _RULES + "".join(_section(one) for one in TYPES.values())


def _section(type_: DataType) -> str:
    doors = "".join(
        f"\n| {door} | | |\n| --- | --- | --- |\n" + "".join(_rows(getattr(type_, name), name))
        for name, door in _DOORS
    )
    return f"\n## {type_.name}\n\n{type_.holds[0].upper()}{type_.holds[1:]}.\n{doors}"


def _rows(spellings: Iterable[Spelling], door: str) -> Iterable[str]:
    for one in spellings:
        written = one.written if door == "parquet" else _shown(one.written, door)
        if one.reason is None:
            value = one.value if one.value is not None else ""
            yield f"| {_code(written)} | taken | {_code(_shown(write_text(value), 'text'))} |\n"
        elif one.reason.isupper():
            yield f"| {_code(written)} | refused | the whole file |\n"
        else:
            yield f"| {_code(written)} | refused | {_cell(one.reason)} |\n"


def _shown(written: object, door: str) -> str:
    text = written if isinstance(written, str) else json.dumps(written)
    if len(text) > _LONGEST and isinstance(written, str):
        return f"{text[:3]}… ({len(text):,} characters)"
    if door == "json" and isinstance(written, str):
        return json.dumps(written, ensure_ascii=False)
    odd = invisible(text)
    while odd is not None:
        text = text.replace(chr(int(f"0x{odd[2:]}", 0)), f"<{odd}>")
        odd = invisible(text)
    return text


def _code(text: object) -> str:
    return f"`{_cell(str(text))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
