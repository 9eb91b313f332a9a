"""Spellings of every type, taken or refused at each door: docs/types.md shows, tests try them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from pollux.types import FALSE, LABEL_LENGTH, TEXT_LENGTH, TRUE, Value


@dataclass(frozen=True)
class Spelling:
    """A way to write a value: the resulting `value`, or the `reason` why it is refused.

    `written` is a text, a JSON scalar, or for Parquet a SQL expression of the column's type.
    """

    written: object
    value: Value | None = None
    reason: str | None = None

    @property
    def spoils_file(self) -> bool:
        """Whether Parquet with such a column is refused as a whole; `reason` is then its type."""
        return self.reason is not None and self.reason.isupper()


@dataclass(frozen=True)
class Spellings:
    """Those of a type: as a text, as a JSON scalar, as a column of Parquet."""

    text: tuple[Spelling, ...]
    json: tuple[Spelling, ...]
    parquet: tuple[Spelling, ...]


_NOT_A_NUMBER = (
    Spelling("1,000", reason="not a number"),
    Spelling("1_000", reason="not a number"),
    Spelling("0x10", reason="not a number"),
    Spelling("٣", reason="not a number"),
    Spelling("NA", reason="not a number; leave the field blank for null"),
    Spelling("NaN", reason="not a number; leave the field blank for null"),
    Spelling("\\N", reason="not a number; leave the field blank for null"),
    Spelling("Infinity", reason="not a number"),
    Spelling("\u200b7", reason="not a number; it holds an invisible character (U+200B)"),
    Spelling("7\xa0", reason="not a number; it holds an invisible character (U+00A0)"),
)
_NO_SCALAR = (
    Spelling([1], reason="a value is wanted, not a list"),
    Spelling({"value": 1}, reason="a value is wanted, not an object"),
)
_NO_DAY = "no day of the years 1000 to 9999; write a date as 2024-12-31"
_NOT_TRUTH = (Spelling(True, reason="not a number"), *_NO_SCALAR)
_NESTED = (
    Spelling("[1]::INTEGER[]", reason="INTEGER[]"),
    Spelling("{'a': 1}::STRUCT(a INTEGER)", reason="STRUCT"),
    Spelling("MAP {'a': 1}", reason="MAP"),
    Spelling("INTERVAL 1 DAY", reason="INTERVAL"),
    Spelling("TIME '10:00:00'", reason="TIME"),
)
_TEXT = (
    Spelling("Zürich", "Zürich"),
    Spelling(" two blanks ", " two blanks "),
    Spelling("NA", "NA"),
    Spelling("007", "007"),
    Spelling("a\0b", reason="NUL byte"),
)
_JSON_TEXT = (
    Spelling("Zürich", "Zürich"),
    Spelling(7, "7"),
    Spelling(2.0, "2.0"),
    Spelling(True, "true"),
    *_NO_SCALAR,
)
_PARQUET_TEXT = (
    Spelling("'Zürich'", "Zürich"),
    Spelling("'a'::ENUM('a', 'b')", "a"),
    Spelling("encode('Zürich')", "Zürich"),
    Spelling("7::INTEGER", "7"),
    Spelling("2.0::DOUBLE", "2.0"),
    Spelling("DATE '2024-01-05'", "2024-01-05"),
    *_NESTED,
)

SPELLINGS: Mapping[str, Spellings] = {
    "text": Spellings(
        text=(*_TEXT, Spelling("x" * (TEXT_LENGTH + 1), reason="longer than 100,000 characters")),
        json=_JSON_TEXT,
        parquet=_PARQUET_TEXT,
    ),
    "label": Spellings(
        text=(
            *_TEXT,
            Spelling("ä" * LABEL_LENGTH, "ä" * LABEL_LENGTH),
            Spelling("x" * (LABEL_LENGTH + 1), reason="longer than 255 characters"),
        ),
        json=_JSON_TEXT,
        parquet=_PARQUET_TEXT,
    ),
    "id": Spellings(
        text=(
            Spelling("26984851472", 26984851472),
            Spelling("9223372036854775807", 2**63 - 1),
            Spelling("-7", -7),
            Spelling("+7", 7),
            Spelling(" 7 ", 7),
            Spelling("007", 7),
            Spelling("7.0", 7),
            Spelling("7.", 7),
            Spelling("2.69849E+10", reason="an id with an exponent, which may have lost digits"),
            Spelling("1e3", reason="an id with an exponent, which may have lost digits"),
            Spelling("7.5", reason="not a whole number"),
            Spelling("9223372036854775808", reason="beyond 64 bits"),
            *_NOT_A_NUMBER,
        ),
        json=(
            Spelling(26984851472, 26984851472),
            Spelling("26984851472", 26984851472),
            Spelling(7.0, 7),
            Spelling(float(2**53), reason="an id with an exponent, which may have lost digits"),
            Spelling(7.5, reason="not a whole number"),
            Spelling(2**63, reason="beyond 64 bits"),
            *_NOT_TRUTH,
        ),
        parquet=(
            Spelling("26984851472::BIGINT", 26984851472),
            Spelling("7::UTINYINT", 7),
            Spelling("7::DECIMAL(38,10)", 7),
            Spelling("26984851472::DOUBLE", 26984851472),
            Spelling("16777215::FLOAT", 16777215),
            Spelling("'26984851472'", 26984851472),
            Spelling(
                "26984851472::FLOAT", reason="an id with an exponent, which may have lost digits"
            ),
            Spelling(
                "9007199254740992::DOUBLE",
                reason="an id with an exponent, which may have lost digits",
            ),
            Spelling("'2.69849E+10'", reason="an id with an exponent, which may have lost digits"),
            Spelling("18446744073709551615::UBIGINT", reason="beyond 64 bits"),
            Spelling("true", reason="not a number"),
            *_NESTED,
        ),
    ),
    "integer": Spellings(
        text=(
            Spelling("300", 300),
            Spelling("-999999999", -999999999),
            Spelling("30.0", 30),
            Spelling("1e3", 1000),
            Spelling(" +5 ", 5),
            Spelling("3000000000", reason="more than 9 digits"),
            Spelling("4.6", reason="not a whole number"),
            *_NOT_A_NUMBER,
        ),
        json=(
            Spelling(30, 30),
            Spelling(30.0, 30),
            Spelling("30", 30),
            Spelling(30.5, reason="not a whole number"),
            Spelling(3_000_000_000, reason="more than 9 digits"),
            *_NOT_TRUTH,
        ),
        parquet=(
            Spelling("30::BIGINT", 30),
            Spelling("30.0::DOUBLE", 30),
            Spelling("30::DECIMAL(9,2)", 30),
            Spelling("30.5::FLOAT", reason="not a whole number"),
            Spelling("3000000000::BIGINT", reason="more than 9 digits"),
            Spelling("'nan'::DOUBLE", reason="not a number; leave the field blank for null"),
            *_NESTED,
        ),
    ),
    "day": Spellings(
        text=(
            Spelling("708", 708),
            Spelling("708.0", 708),
            Spelling("-1", -1),
            Spelling(" 5 ", 5),
            Spelling("2004-03-23", 1),
            Spelling("2006-02-28", 708),
            Spelling("2004-03-22", 0),
            Spelling("2006-02-28 00:00:00", 708),
            Spelling("1000-01-01", -366784),
            Spelling("9999-12-31", 2920397),
            Spelling("2920398", reason=_NO_DAY),
            Spelling("-366785", reason=_NO_DAY),
            Spelling("20060228", reason=_NO_DAY),
            Spelling("3000000000", reason=_NO_DAY),
            Spelling("0999-12-31", reason="before the year 1000"),
            Spelling("4.6", reason="not a whole number"),
            Spelling("2006-02-29", reason="no such day"),
            Spelling("2006-02-28 10:00:00", reason="a date with a time of day"),
            Spelling("28.02.2006", reason="not the number of a day, nor a date as 2024-12-31"),
            Spelling("1,000", reason="not the number of a day, nor a date as 2024-12-31"),
            Spelling(
                "NA",
                reason="not the number of a day, nor a date as 2024-12-31; leave the field blank "
                "for null",
            ),
        ),
        json=(
            Spelling(708, 708),
            Spelling(708.0, 708),
            Spelling("2006-02-28", 708),
            Spelling(20060228, reason=_NO_DAY),
            Spelling(30.5, reason="not a whole number"),
            Spelling(True, reason="not the number of a day, nor a date as 2024-12-31"),
            *_NO_SCALAR,
        ),
        parquet=(
            Spelling("708::BIGINT", 708),
            Spelling("708.0::DOUBLE", 708),
            Spelling("DATE '2006-02-28'", 708),
            Spelling("TIMESTAMP '2006-02-28 00:00:00'", 708),
            Spelling("TIMESTAMP '2006-02-28 10:00:00'", reason="a date with a time of day"),
            Spelling("'2006-02-28'", 708),
            Spelling("20060228::INTEGER", reason=_NO_DAY),
            *_NESTED,
        ),
    ),
    "money": Spellings(
        text=(
            Spelling("12.5", Decimal("12.50")),
            Spelling("1.500", Decimal("1.50")),
            Spelling("-.5", Decimal("-0.50")),
            Spelling("12e-1", Decimal("1.20")),
            Spelling("9999999999.99", Decimal("9999999999.99")),
            Spelling("1.239", reason="more than two decimals"),
            Spelling("5.3100000000000005", reason="more than two decimals"),
            Spelling("10000000000", reason="more than 10 digits before the point"),
            Spelling("$5", reason="not a number"),
            Spelling("1,5", reason="not a number"),
            *_NOT_A_NUMBER,
        ),
        json=(
            Spelling(12.5, Decimal("12.50")),
            Spelling(12, Decimal("12.00")),
            Spelling("12.50", Decimal("12.50")),
            Spelling(0.1 + 0.2, reason="more than two decimals"),
            Spelling(1e10, reason="more than 10 digits before the point"),
            *_NOT_TRUTH,
        ),
        parquet=(
            Spelling("12.5::DOUBLE", Decimal("12.50")),
            Spelling("12.1::FLOAT", Decimal("12.10")),
            Spelling("12.50::DECIMAL(38,10)", Decimal("12.50")),
            Spelling("12::INTEGER", Decimal("12.00")),
            Spelling("12.505::DECIMAL(10,3)", reason="more than two decimals"),
            Spelling("1e10::DOUBLE", reason="more than 10 digits before the point"),
            *_NESTED,
        ),
    ),
    "number": Spellings(
        text=(
            Spelling("5.3100000000000005", 5.3100000000000005),
            Spelling("1E+5", 100000.0),
            Spelling("-.5", -0.5),
            Spelling("1e15", reason="more than 15 digits before the point"),
            Spelling("1e400", reason="more than 15 digits before the point"),
            Spelling("1e-400", reason="too small for a number of 64 bits"),
            *_NOT_A_NUMBER,
        ),
        json=(
            Spelling(0.5, 0.5),
            Spelling(7, 7.0),
            Spelling("0.5", 0.5),
            Spelling(1e300, reason="more than 15 digits before the point"),
            *_NOT_TRUTH,
        ),
        parquet=(
            Spelling("0.5::FLOAT", 0.5),
            Spelling("7::BIGINT", 7.0),
            Spelling("0.25::DECIMAL(10,2)", 0.25),
            Spelling("'inf'::DOUBLE", reason="not a number"),
            *_NESTED,
        ),
    ),
    "boolean": Spellings(
        text=(
            *(Spelling(word, True) for word in (*TRUE, "True", "YES")),
            *(Spelling(word, False) for word in (*FALSE, "False")),
            Spelling("2", reason="not true or false"),
            Spelling("on", reason="not true or false"),
            Spelling("null", reason="not true or false; leave the field blank for null"),
        ),
        json=(
            Spelling(True, True),
            Spelling(1, True),
            Spelling(0.0, False),
            Spelling("yes", True),
            Spelling(2, reason="not true or false"),
            *_NO_SCALAR,
        ),
        parquet=(
            Spelling("true", True),
            Spelling("1::TINYINT", True),
            Spelling("0.0::DOUBLE", False),
            Spelling("2::INTEGER", reason="not true or false"),
            *_NESTED,
        ),
    ),
    "date": Spellings(
        text=(
            Spelling("2024-01-05", date(2024, 1, 5)),
            Spelling("2024-01-05 00:00:00", date(2024, 1, 5)),
            Spelling("2024-01-05T00:00", date(2024, 1, 5)),
            Spelling("2024-01-05 00:00:00.000000000", date(2024, 1, 5)),
            Spelling("2024-01-05T00:00:00Z", date(2024, 1, 5)),
            Spelling("2024-01-05 00:00:00+00:00", date(2024, 1, 5)),
            Spelling("2024-01-05 00:00:00 UTC", date(2024, 1, 5)),
            Spelling("9999-12-31", date(9999, 12, 31)),
            Spelling("2024-01-05 10:00:00", reason="a date with a time of day"),
            Spelling("2024-01-05 00:00:00+02:00", reason="a date with a time zone"),
            Spelling("2023-02-29", reason="no such day"),
            Spelling("0024-01-05", reason="before the year 1000"),
            Spelling("05.01.2024", reason="not a date as 2024-12-31"),
            Spelling("1/5/2024", reason="not a date as 2024-12-31"),
            Spelling("20240105", reason="not a date as 2024-12-31"),
            Spelling("45296", reason="not a date as 2024-12-31"),
            Spelling("infinity", reason="not a date as 2024-12-31"),
            Spelling("NaT", reason="not a date as 2024-12-31; leave the field blank for null"),
        ),
        json=(
            Spelling("2024-01-05", date(2024, 1, 5)),
            Spelling("2024-01-05T00:00:00.000Z", date(2024, 1, 5)),
            Spelling("2024-01-05T10:00:00Z", reason="a date with a time of day"),
            Spelling(20240105, reason="not a date as 2024-12-31"),
            *_NO_SCALAR,
        ),
        parquet=(
            Spelling("DATE '2024-01-05'", date(2024, 1, 5)),
            Spelling("TIMESTAMP '2024-01-05 00:00:00'", date(2024, 1, 5)),
            Spelling("TIMESTAMP_NS '2024-01-05 00:00:00'", date(2024, 1, 5)),
            Spelling("TIMESTAMPTZ '2024-01-05 00:00:00+00'", date(2024, 1, 5)),
            Spelling("'2024-01-05'", date(2024, 1, 5)),
            Spelling("TIMESTAMP '2024-01-05 10:00:00'", reason="a date with a time of day"),
            Spelling("DATE '0024-01-05'", reason="before the year 1000"),
            Spelling("DATE 'infinity'", reason="not a date as 2024-12-31"),
            Spelling("20240105::INTEGER", reason="not a date as 2024-12-31"),
            *_NESTED,
        ),
    ),
    "timestamp": Spellings(
        text=(
            Spelling("2024-01-05 10:00:00", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05T10:00", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05", datetime(2024, 1, 5)),  # noqa: DTZ001
            Spelling("2024-01-05T10:00:00Z", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05t10:00:00z", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05 12:00:00+02:00", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05 12:00:00 +0200", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05 10:00:00 UTC", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05 10:00:00.120000000", datetime(2024, 1, 5, 10, 0, 0, 120000)),  # noqa: DTZ001
            Spelling("2024-01-05 10:00:00.123456789", reason="finer than a microsecond"),
            Spelling("2024-01-05 24:00:00", reason="no such time"),
            Spelling("2024-01-05 10:00:60", reason="no such time"),
            Spelling("0001-01-01 00:00:00", reason="before the year 1000"),
            Spelling("1760000000", reason="not a timestamp as 2024-12-31 23:59:59"),
            Spelling("infinity", reason="not a timestamp as 2024-12-31 23:59:59"),
        ),
        json=(
            Spelling("2024-01-05T10:00:00.000Z", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("2024-01-05 12:00:00+02:00", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling(1760000000, reason="not a timestamp as 2024-12-31 23:59:59"),
            *_NO_SCALAR,
        ),
        parquet=(
            Spelling("TIMESTAMP '2024-01-05 10:00:00'", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("TIMESTAMP_S '2024-01-05 10:00:00'", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("TIMESTAMP_MS '2024-01-05 10:00:00'", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("TIMESTAMPTZ '2024-01-05 12:00:00+02'", datetime(2024, 1, 5, 10)),  # noqa: DTZ001
            Spelling("DATE '2024-01-05'", datetime(2024, 1, 5)),  # noqa: DTZ001
            Spelling(
                "TIMESTAMP_NS '2024-01-05 10:00:00.123456789'", reason="finer than a microsecond"
            ),
            Spelling("TIMESTAMP 'infinity'", reason="not a timestamp as 2024-12-31 23:59:59"),
            *_NESTED,
        ),
    ),
}
