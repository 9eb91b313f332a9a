"""What the documents and parameters of every domain are made of.

Belongs here: types of fields, what all pages share, and making documents from the marts' contracts.
Does not belong here: the parameters of one domain.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
)

from services.common.contracts import contract_of, python_type

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
MAX_TEXT = 1000
INTEGER_MAX = 2**31 - 1
PLAIN_INTEGER = re.compile(r"-?[0-9]{1,40}", re.ASCII)
PLAIN_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
NEXT_EXAMPLE = "a3Jl…"
NO_NUMBER = "Input should be a whole number in plain digits"


def _plain_integer(value: object) -> object:
    """One number has one address: 7, not 07, 7.0, +7 or 7_000."""
    if isinstance(value, str) and (not PLAIN_INTEGER.fullmatch(value) or value != str(int(value))):
        raise ValueError(NO_NUMBER)
    return value


def _plain_date(value: object) -> object:
    if isinstance(value, str) and not PLAIN_DATE.fullmatch(value):
        raise ValueError("Input should be a day such as 2022-01-08")
    return value


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("Input should not contain NUL characters")
    return value


Integer = Annotated[int, BeforeValidator(_plain_integer)]
CalendarDay = Annotated[date, BeforeValidator(_plain_date)]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_storable)]
Amount = Annotated[Decimal, Field(max_digits=18, decimal_places=2)]
Bigint = Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[Integer, Field(ge=0, le=INTEGER_MAX)]
Money = Annotated[Decimal, WithJsonSchema({"type": "number"})]
# Not JSON Schema's date-time, which requires an offset.
UtcTime = Annotated[datetime, WithJsonSchema({"type": "string"})]
IN_JSON: Mapping[type, Any] = {Decimal: Money, datetime: UtcTime}


class Document(BaseModel):
    """A row of a mart: one field per column, in the mart's order."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel):
    """A part of a list."""

    next: str | None = Field(
        description="Where the next page starts: send it as `next` to get that page. Null on the "
        "last one.",
        examples=[NEXT_EXAMPLE],
    )


@cache
def document_of(domain: str, mart: str) -> type[Document]:
    """The class of a mart's documents, made from its contract and named after the mart.

    Needs no database. Raises `KeyError` if this version serves no such mart.
    """
    contract = contract_of(domain, mart)
    fields: dict[str, Any] = {}
    for column in contract.columns:
        kind = IN_JSON.get(plain := python_type(column), plain)
        null = contract.may_be_null(column.name)
        shown = [column.example] if null or column.example is not None else None
        field = Field(description=column.description, examples=shown)
        fields[column.name] = (kind | None if null else kind, field)
    name = "".join(word.capitalize() for word in mart.split("_"))
    return create_model(name, __base__=Document, __doc__=contract.description, **fields)


def page_of(document: type[Document], description: str) -> type[Page]:
    """A page of a list of documents."""
    data: Any = (list[document], ...)  # type: ignore[valid-type]
    return create_model(f"{document.__name__}Page", __base__=Page, __doc__=description, data=data)


class PageQuery(BaseModel):
    """Parameters of every list."""

    # A misspelt filter must not return the whole list.
    model_config = ConfigDict(extra="forbid")

    limit: Integer = Field(
        default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Documents on a page, at most."
    )
    next: str | None = Field(default=None, description="`next` of the page before.")
