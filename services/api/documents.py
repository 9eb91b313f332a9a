"""What the documents and parameters of every domain are made of.

Belongs here: what all pages share, and making documents from the marts' contracts. Does not belong
here: how values are read (`services.common.values`), and the parameters of one domain.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    WithJsonSchema,
    create_model,
)
from pydantic_core import core_schema

from services.common.contracts import contract_of, python_type
from services.common.values import Codes, Id, Truth, read_as

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
NEXT_EXAMPLE = "a3Jl…"
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), read_as("integer")]
Money = Annotated[Decimal, WithJsonSchema({"type": "number"})]
UtcTime = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
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
    count: int | None = Field(
        default=None,
        description="With `count=true`: documents on all pages together, in this release.",
        examples=[2485],
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


def sorted_by(*columns: str) -> GetPydanticSchema:
    """What makes a text one of these columns, or one with a minus before it."""
    options = [f"{sign}{column}" for column in columns for sign in ("", "-")]
    return GetPydanticSchema(lambda _source, _handler: core_schema.literal_schema(options))


def sorted_by_any(domain: str, mart: str) -> GetPydanticSchema:
    """The same for every column of a mart, of which a list shows few rows at once."""
    return sorted_by(*(column.name for column in contract_of(domain, mart).columns))


class PageQuery(BaseModel):
    """Parameters of every list."""

    # A misspelt filter must not return the whole list.
    model_config = ConfigDict(extra="forbid")

    limit: Limit = Field(default=DEFAULT_LIMIT, description="Documents on a page, at most.")
    # A form that is sent without it asks for the first page.
    next: Annotated[str | None, BeforeValidator(lambda text: text or None)] = Field(
        default=None, description="`next` of the page before."
    )
    fields: Codes[str] = Field(
        default=None, description="Only these fields, in this order; separated by commas."
    )
    count: Truth = Field(
        default=False, description="Count the documents on all pages together, too."
    )


# Of what may be newer than the release.
LIVE: Any = Field(
    default=True, description="`false`: as of the release, without what the customer did since."
)


def which_ids(which: str) -> str:
    """What the parameter `ids` says of itself."""
    return (
        f"Only {which}, at most {MAX_LIMIT}, separated by commas. Without `limit` they all come on "
        "one page; those that do not exist are left out."
    )


class IdsQuery(PageQuery):
    """Parameters of a list of things that have an id."""

    ids: Codes[Id] = Field(default=None, max_length=MAX_LIMIT, description=which_ids("these"))
