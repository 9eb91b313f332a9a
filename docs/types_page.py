"""docs/types.md from the types and their spellings: `python -m docs.types_page > docs/types.md`."""

import json
import sys
from collections.abc import Iterable

from docs.spellings import SPELLINGS, Spelling
from pollux.types import TYPES, DataType, invisible, write_text

_HEAD = """# Types of data

`python -m docs.types_page` writes this page from the types that the code uses
(`pollux/types.py`) and spellings of them (`docs/spellings.py`). Tests try every line below for each
way that data come in.

A type holds what every later stage can hold: the landing zone, the models on both engines,
PostgreSQL and its indexes, the API. A spelling that loses nothing is taken. One that may have lost
something is refused with the reason, and a value beyond a range or a length with the limit: in a
file the row is a reject, over MQTT the message or row is a dead letter, and the others are taken;
the API and the scorer answer 422, and the gateway raises a `GatewayError`.

| type | holds | DuckDB | PostgreSQL |
| --- | --- | --- | --- |
"""
_RULES = """
- An empty field, or one of blanks only, is null for every type but `text` and `label`, whose blanks
  count; for these two only an empty field is null. Blanks around other values are ignored. JSON's
  `null` is null.
- Words such as NA, NULL or \\N are not null by themselves. A dataset that uses them declares them:
  `nulls: [NA, "\\\\N"]` beside `files`.
- In a JSON body, too, a blank text is null. In a path or a query it is refused, so that a filter
  without a value never gives the whole list.
- The gateway takes scalars of NumPy, pandas and Arrow besides those of Python, as ids and as the
  keywords of `where`, by the type of the column.
- Names and codes in requests and messages are labels; blanks around them do not count. The total
  of a purchase is money, and not below 0.
- A line of text (format `lines`) lands unchanged, whatever its length; models judge its fields.
- Parquet columns are judged like the text of their values. A file with a nested column, a time of
  day, an interval or a declared column that appears twice is refused as a whole. INT96 times and
  decimals of more than 38 digits keep all their digits until they are judged.
- When a value with an invisible character, such as U+FEFF, is refused, the reason names the
  character. In the names of columns such characters are ignored.
"""
_DOORS = (
    ("text", "A text: in CSV or Parquet, in a path, a query or JSON, or given to the gateway"),
    ("json", "A value of JSON (API, scorer, events), or of Python (gateway)"),
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
        f"\n| {door} | | |\n| --- | --- | --- |\n"
        + "".join(_rows(getattr(SPELLINGS[type_.name], name), name))
        for name, door in _DOORS
    )
    return f"\n## {type_.name}\n\n{type_.holds[0].upper()}{type_.holds[1:]}.\n{doors}"


def _rows(spellings: Iterable[Spelling], door: str) -> Iterable[str]:
    for one in spellings:
        written = one.written if door == "parquet" else _shown(one.written, door)
        if one.reason is None:
            value = one.value if one.value is not None else ""
            yield f"| {_code(written)} | taken | {_code(_shown(write_text(value), 'text'))} |\n"
        elif one.spoils_file:
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
