"""Values in requests, read by the table of types (`pollux.types`).

Belongs here: how pydantic reads a path, a query or a JSON body by that table. Does not belong
here: spellings, ranges and reasons, which the table has for every way that data come in.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from pollux.types import INTEGER_DIGITS, LABEL_LENGTH, read_scalar

INTEGER_MAX = 10**INTEGER_DIGITS - 1
# Of the text of an id that is none, for examples.
NO_NUMBER = "not a number"


def read_as(type_: str) -> BeforeValidator:
    """Reads a value as one of that type; refuses with the table's reason."""

    def read(value: object) -> object:
        return read_scalar(type_, value)

    return BeforeValidator(read)


def _exact(value: object) -> object:
    """A decimal of any precision, which a number of 64 bits may not be."""
    found = read_scalar("number", value)
    return found if found is None else Decimal(str(value).strip())


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


Id = Annotated[int, Field(ge=-(2**63), le=2**63 - 1), read_as("id")]
Count = Annotated[int, Field(ge=0, le=INTEGER_MAX), read_as("integer")]
Number = Annotated[float, read_as("number")]
Exact = Annotated[Decimal, BeforeValidator(_exact)]
Amount = Annotated[Decimal, read_as("money")]
Truth = Annotated[bool, read_as("boolean")]
Text = Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH), read_as("label")]
CalendarDay = Annotated[date, read_as("date")]
# As the marts hold it: in UTC, without saying so.
Moment = Annotated[datetime, read_as("timestamp")]
UtcMoment = Annotated[
    datetime,
    AfterValidator(_in_utc),
    read_as("timestamp"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
