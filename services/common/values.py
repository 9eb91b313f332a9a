"""Values in requests, read by the table of types (`pollux.types`).

Belongs here: how pydantic reads a path, a query or a JSON body by that table. Does not belong
here: spellings, ranges and reasons, which the table has for every way that data come in.
"""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from pollux.names import read_name
from pollux.rules import BLANKS, department, text_key
from pollux.types import (
    INTEGER_DIGITS,
    LABEL_LENGTH,
    MONEY_DIGITS,
    NUMBER_DIGITS,
    read_decimal,
    read_scalar,
)

T = TypeVar("T")

INTEGER_MAX = 10**INTEGER_DIGITS - 1
NUMBER_MAX = 10**NUMBER_DIGITS - 1
MONEY_MAX = 10**MONEY_DIGITS - 0.01
# Of the text of an id that is none, for examples.
NO_NUMBER = "not a number"


def read_as(type_: str) -> BeforeValidator:
    """Reads a value as one of that type; refuses with the table's reason."""

    def read(value: object) -> object:
        return read_scalar(type_, value)

    return BeforeValidator(read)


def split(value: object) -> list[Any] | None:
    """Values that are separated by commas, given once or repeated, as a list."""
    if isinstance(value, list):
        return [part for one in value for part in split(one) or ()]
    if isinstance(value, str):
        return value.split(",")
    return _as_list(value)


def readings(value: object) -> list[Any] | None:
    """A text as a whole and, if it holds commas, the texts between them.

    As in CSV, a text that holds a comma itself may stand in double quotes.
    """
    if not isinstance(value, str) or "," not in value:
        return _as_list(value)
    try:
        parts: list[Any] = next(csv.reader([value], skipinitialspace=True))
    except csv.Error:
        return [value]
    return parts if len(parts) == 1 else [value[:LABEL_LENGTH], *parts]


def _as_list(value: object) -> list[Any] | None:
    return value if value is None or isinstance(value, list) else [value]


def _number(most: float) -> WithJsonSchema:
    """Describes a number by the bounds that its type has in the table."""
    return WithJsonSchema({"type": "number", "minimum": -most, "maximum": most})


class OneOrSeveral:
    """Describes a list as one value or several of them."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The list's schema, with that of a value before it."""
        described = handler(schema)
        shapes = described.get("anyOf", [described])
        lists = [shape for shape in shapes if shape.get("type") == "array"]
        return {"anyOf": [*(one["items"] for one in lists), *shapes]}


def _without_blanks(email: str) -> str:
    """In a query, an unencoded + arrives as a space."""
    if any(blank in email for blank in BLANKS):
        raise ValueError("An email holds no blank; a + in it is written %2B in a query")
    return email


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


Id = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), read_as("id")]
Integer = Annotated[int, Field(ge=-INTEGER_MAX, le=INTEGER_MAX), read_as("integer")]
Count = Annotated[int, Field(ge=0, le=INTEGER_MAX), read_as("integer")]
Number = Annotated[float, read_as("number"), _number(NUMBER_MAX)]
Exact = Annotated[Decimal, BeforeValidator(read_decimal)]
Amount = Annotated[Decimal, read_as("money"), _number(MONEY_MAX)]
Truth = Annotated[bool, read_as("boolean")]
Text = Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH), BeforeValidator(read_name)]
# As the data keep them: Sports is Sport; of an email, neither case nor accents nor blanks matter.
Department = Annotated[Text, AfterValidator(department)]
Email = Annotated[Text, AfterValidator(text_key)]
EmailInQuery = Annotated[Email, AfterValidator(_without_blanks)]
CalendarDay = Annotated[date, read_as("date")]
# As the marts hold it: in UTC, without saying so.
Moment = Annotated[datetime, read_as("timestamp")]
UtcMoment = Annotated[
    datetime,
    AfterValidator(_in_utc),
    read_as("timestamp"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

# Codes separated by commas. A name may hold commas: each is read as a whole and by its parts.
Codes = Annotated[list[T] | None, BeforeValidator(split), OneOrSeveral()]
_NAME = {"type": "string", "minLength": 1, "maxLength": LABEL_LENGTH}
Names = Annotated[
    list[Annotated[list[T], BeforeValidator(readings)]] | None,
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME}]}),
]
