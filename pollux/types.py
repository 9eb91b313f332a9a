"""The types of data: what each holds, and which spellings of a value it takes.

Belongs here: the one table by which every value is read, whether it comes in a CSV field, a
Parquet column, JSON over REST or MQTT, or through the gateway. A spelling that loses nothing is
taken, one that may have lost something is refused with a reason. Ranges and lengths are those that
every later stage can hold: the landing zone, dbt on both engines, PostgreSQL's indexes, the API.
Does not belong here: what a value means, and examples of spellings (`docs/spellings.py`). Imports
nothing but the standard library and the calendar.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import LiteralString

from pollux.calendar import day_of

Value = str | int | Decimal | float | bool | date | datetime

# Two labels, each character of four bytes, and an id fit an index row of PostgreSQL (2,704 bytes).
LABEL_LENGTH = 255
TEXT_LENGTH = 100_000
# Integers stay whole numbers of four bytes when two of them are subtracted.
INTEGER_DIGITS = 9
# A million amounts of this size add up to what decimal(18,2) holds.
MONEY_DIGITS = 10
NUMBER_DIGITS = 15
FIRST_YEAR = 1000
FIRST_DAY = day_of(date(FIRST_YEAR, 1, 1))
LAST_DAY = day_of(date.max)
# Below these, doubles and single-precision numbers tell all whole numbers apart.
EXACT_DOUBLE = 2**53
EXACT_SINGLE = 2**24

TRUE = ("true", "t", "yes", "y", "1", "1.0")
FALSE = ("false", "f", "no", "n", "0", "0.0")

_BLANKS = " \t\n\r\v\f"
_LONGEST_EXPONENT = 6
_BIGINT_DIGITS = 19
# A number of this many digits fits into 64 bits.
_PLAIN_DIGITS = 18
# Below these, numbers are what they are read as.
_PLAIN: Mapping[tuple[str, type], int] = {
    ("id", int): 2**63,
    ("integer", int): 10**INTEGER_DIGITS,
    ("number", int): 10**NUMBER_DIGITS,
    ("number", float): 10**NUMBER_DIGITS,
}
_MONEY_DECIMALS = 2
_MOST_BITS = 10_000
_SECOND_DECIMALS = 6
_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])([0-9]{2}):?([0-5][0-9])?))?)?"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULL_WORDS = frozenset({"na", "n/a", "#n/a", "nan", "null", "nil", "none", "nat", "\\n", "-", "?"})


class UnfitError(ValueError):
    """A value whose spelling its type does not take; the text says why."""


@dataclass(frozen=True)
class DataType:
    """A type: its name in declarations, its stored form, what it holds, how it is read.

    `stored` is the type that its values land as: columns of one stored type are interchangeable.
    `read` turns a text without blanks around it into a value, or raises `UnfitError`.
    """

    name: str
    stored: str
    duckdb: str
    postgres: LiteralString
    holds: str
    read: Callable[[str], Value]

    @property
    def is_text(self) -> bool:
        """Whether values are texts, whose blanks count."""
        return self.stored == "text"


def read_text(type_: str, text: str) -> Value | None:
    """The value that a text stands for, None for a blank one.

    Raises:
        UnfitError: when the type cannot take it without loss.

    """
    known = TYPES[type_]
    if known.is_text:
        return known.read(text) if text else None
    stripped = text.strip(_BLANKS)
    if not stripped:
        return None
    try:
        return known.read(stripped)
    except UnfitError as error:
        raise UnfitError(f"{error}{_hint(stripped)}") from None


def read_scalar(type_: str, value: object) -> Value | None:
    """The value that a JSON or Python scalar stands for: the same as its text.

    Takes None, bool, int, float, Decimal, str, date and datetime.

    Raises:
        UnfitError: when the type cannot take it without loss.

    """
    if value is None:
        return None
    # Nearly all numbers; what follows would say the same.
    if (type(value) is int or type(value) is float) and abs(value) < _PLAIN.get(
        (type_, type(value)), 0
    ):
        return float(value) if type_ == "number" else value
    if isinstance(value, str):
        return read_text(type_, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnfitError(f"{value} is not a number; leave it out for null")
        if abs(value) >= EXACT_DOUBLE:
            # It may have lost digits; none are made up.
            return read_text(type_, f"{value:e}")
    elif not isinstance(value, bool | int | Decimal | date):
        raise UnfitError(f"a value is wanted, not {_kind(value)}")
    elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
        # Python refuses to write out longer ones.
        raise UnfitError(f"a number of more than {_MOST_BITS:,} bits")
    return read_text(type_, write_text(value))


def read_decimal(value: object) -> Decimal | None:
    """A number with all its digits, for columns of decimals; raises as `read_scalar` does."""
    found = read_scalar("number", value)
    if found is None:
        return None
    text = value if isinstance(value, str) else write_text(value)  # type: ignore[arg-type]
    return Decimal(text.strip(_BLANKS))


def write_text(value: Value) -> str:
    """The text that `read_text` reads back as the same value, and DuckDB as well."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Not their classes' own texts: those of NumPy name the class.
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else value


def invisible(text: str) -> str | None:
    """Name the first character of a text that a screen does not show, such as U+FEFF."""
    for character in text:
        if character not in _BLANKS and unicodedata.category(character) in {"Cf", "Cc", "Zs"}:
            return f"U+{ord(character):04X}"
    return None


def visible(text: str) -> str:
    """A text without the characters that a screen does not show, and without blanks around it."""
    shown = (c for c in text if c in _BLANKS or unicodedata.category(c) not in {"Cf", "Cc"})
    return "".join(" " if unicodedata.category(c) == "Zs" else c for c in shown).strip()


def _hint(text: str) -> str:
    if text.lower() in _NULL_WORDS:
        return "; leave the field blank for null"
    unseen = invisible(text)
    return f"; it holds an invisible character ({unseen})" if unseen else ""


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _exact(text: str) -> tuple[str, str, int]:
    """Split a decimal number into sign, digits without outer zeros, and power of ten."""
    match = _NUMBER.fullmatch(text)
    if not match:
        raise UnfitError("not a number")
    whole, fraction, exponent = match[1], match[2], match[3] or "0"
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return "", "0", 0
    shown = digits.rstrip("0")
    sign = "-" if text[0] == "-" else ""
    if len(exponent.lstrip("+-0")) > _LONGEST_EXPONENT:
        return sign, shown, -(10**_LONGEST_EXPONENT) if "-" in exponent else 10**_LONGEST_EXPONENT
    return sign, shown, int(exponent) - len(fraction) + len(digits) - len(shown)


def _whole(text: str, most_digits: int, limit: str) -> int:
    sign, digits, power = _exact(text)
    if power < 0:
        raise UnfitError("not a whole number")
    if len(digits) + power > most_digits:
        raise UnfitError(limit)
    return int(sign + digits + "0" * power)


def _integer(text: str) -> int:
    return _whole(text, INTEGER_DIGITS, f"more than {INTEGER_DIGITS} digits")


def _id(text: str) -> int:
    # Nearly all ids; what follows would say the same.
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    if "e" in text.lower() and _NUMBER.fullmatch(text):
        raise UnfitError("an id with an exponent, which may have lost digits")
    value = _whole(text, _BIGINT_DIGITS, "beyond 64 bits")
    if not -(2**63) <= value < 2**63:
        raise UnfitError("beyond 64 bits")
    return value


def _money(text: str) -> Decimal:
    sign, digits, power = _exact(text)
    if power < -_MONEY_DECIMALS:
        raise UnfitError("more than two decimals")
    if len(digits) + power > MONEY_DIGITS:
        raise UnfitError(f"more than {MONEY_DIGITS} digits before the point")
    cents = (digits + "0" * (power + _MONEY_DECIMALS)).rjust(_MONEY_DECIMALS + 1, "0")
    return Decimal(f"{sign}{cents[:-2]}.{cents[-2:]}")


def _number(text: str) -> float:
    _, digits, power = _exact(text)
    if len(digits) + power > NUMBER_DIGITS:
        raise UnfitError(f"more than {NUMBER_DIGITS} digits before the point")
    value = float(text)
    if value == 0 and digits != "0":
        raise UnfitError("too small for a number of 64 bits")
    return value


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise UnfitError("not true or false")


def _date(text: str) -> date:
    match = _MOMENT.fullmatch(text)
    if not match:
        raise UnfitError("not a date as 2024-12-31")
    year, month, day, hour, minute, second, fraction, *_, hours, minutes = match.groups("0")
    if any(map(int, (hour, minute, second, fraction))):
        raise UnfitError("a date with a time of day")
    if any(map(int, (hours, minutes))):
        raise UnfitError("a date with a time zone")
    try:
        return _in_years(date(int(year), int(month), int(day)))
    except ValueError as error:
        raise error if isinstance(error, UnfitError) else UnfitError("no such day") from None


def _day(text: str) -> int:
    if _MOMENT.fullmatch(text):
        return day_of(_date(text))
    if not _NUMBER.fullmatch(text):
        raise UnfitError("not the number of a day, nor a date as 2024-12-31")
    limit = f"no day of the years {FIRST_YEAR} to 9999; write a date as 2024-12-31"
    number = _whole(text, INTEGER_DIGITS, limit)
    if not FIRST_DAY <= number <= LAST_DAY:
        raise UnfitError(limit)
    return number


def _timestamp(text: str) -> datetime:
    match = _MOMENT.fullmatch(text)
    if not match:
        raise UnfitError("not a timestamp as 2024-12-31 23:59:59")
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = match.groups("0")
    micro = fraction.rstrip("0").ljust(_SECOND_DECIMALS, "0")
    if len(micro) > _SECOND_DECIMALS:
        raise UnfitError("finer than a microsecond")
    try:
        moment = datetime(  # noqa: DTZ001 - offsets are taken off below
            int(year), int(month), int(day), int(hour), int(minute), int(second), int(micro)
        )
        if sign != "0":
            # A timezone refuses a day and more.
            offset = timezone(timedelta(hours=int(hours), minutes=int(minutes)))
            ahead = offset.utcoffset(None)
            moment = moment + ahead if sign == "-" else moment - ahead
        _in_years(moment)
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, UnfitError) else UnfitError("no such time") from None
    return moment


def _in_years(day: date) -> date:
    if day.year < FIRST_YEAR:
        raise UnfitError(f"before the year {FIRST_YEAR}")
    return day


def _length(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > most:
            raise UnfitError(f"longer than {most:,} characters")
        if "\0" in text:
            raise UnfitError("NUL byte")
        if not text.isascii() and _SURROGATE.search(text):
            raise UnfitError("half of a character (a lone surrogate)")
        return text

    return read


_ALL = (
    DataType(
        name="text",
        stored="text",
        duckdb="VARCHAR",
        postgres="text",
        holds=f"at most {TEXT_LENGTH:,} characters",
        read=_length(TEXT_LENGTH),
    ),
    DataType(
        name="label",
        stored="text",
        duckdb="VARCHAR",
        postgres="text",
        holds=f"at most {LABEL_LENGTH} characters: a name or code that data are found or sorted by",
        read=_length(LABEL_LENGTH),
    ),
    DataType(
        name="id",
        stored="integer",
        duckdb="BIGINT",
        postgres="bigint",
        holds="a whole number of 64 bits, written with all its digits",
        read=_id,
    ),
    DataType(
        name="integer",
        stored="integer",
        duckdb="BIGINT",
        postgres="bigint",
        holds=f"a whole number of at most {INTEGER_DIGITS} digits: a count, a day, an age",
        read=_integer,
    ),
    DataType(
        name="money",
        stored="money",
        duckdb="DECIMAL(18,2)",
        postgres="numeric(18,2)",
        holds=f"an amount of two decimals and at most {MONEY_DIGITS} digits before them",
        read=_money,
    ),
    DataType(
        name="number",
        stored="number",
        duckdb="DOUBLE",
        postgres="double precision",
        holds=f"a number of 64 bits, at most {NUMBER_DIGITS} digits before the point",
        read=_number,
    ),
    DataType(
        name="boolean",
        stored="boolean",
        duckdb="BOOLEAN",
        postgres="boolean",
        holds="true or false",
        read=_boolean,
    ),
    DataType(
        name="date",
        stored="date",
        duckdb="DATE",
        postgres="date",
        holds=f"a day of the years {FIRST_YEAR} to 9999",
        read=_date,
    ),
    DataType(
        name="day",
        stored="integer",
        duckdb="BIGINT",
        postgres="bigint",
        holds=f"a day's number, counted from 2004-03-23, which is 1; or its date, of the years "
        f"{FIRST_YEAR} to 9999",
        read=_day,
    ),
    DataType(
        name="timestamp",
        stored="timestamp",
        duckdb="TIMESTAMP",
        postgres="timestamp without time zone",
        holds=f"a time of the years {FIRST_YEAR} to 9999, to the microsecond, in UTC",
        read=_timestamp,
    ),
)

TYPES: Mapping[str, DataType] = {one.name: one for one in _ALL}
