"""Documents about marts, and the filters that a mart takes: both from its contract."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pollux.contracts import Column, Contract
from services.api.documents import Page, PageQuery
from services.common.contracts import python_type
from services.common.problems import invalid_parts
from services.common.values import (
    CalendarDay,
    Department,
    EmailInQuery,
    Exact,
    Id,
    Moment,
    Number,
    Text,
    Truth,
)

# How the text of a filter is read, by the type of its column.
READERS: Mapping[type, TypeAdapter[Any]] = {
    int: TypeAdapter(Id),
    Decimal: TypeAdapter(Exact),
    float: TypeAdapter(Number),
    bool: TypeAdapter(Truth),
    str: TypeAdapter(Text),
    date: TypeAdapter(CalendarDay),
    datetime: TypeAdapter(Moment),
}
# Some names are kept in a form of their own.
READERS_OF_NAMES: Mapping[str, TypeAdapter[Any]] = {
    "department": TypeAdapter(Department),
    "email": TypeAdapter(EmailInQuery),
}
JSON_TYPES: Mapping[type, str] = {
    int: "integer",
    Decimal: "number",
    float: "number",
    bool: "boolean",
}


class Described(BaseModel):
    """What a mart's contract says of it as a whole."""

    domain: str = Field(description="Domain.", examples=["store"])
    mart: str = Field(description="Name of the mart.", examples=["coupon_info"])
    description: str = Field(description="What one row is.", examples=["One row per coupon."])
    key: list[str] = Field(
        description="Columns that no two rows share, in the order of its pages.",
        examples=[["coupon_id"]],
    )
    filters: list[str] = Field(
        description="Columns that it can be filtered by.", examples=[["coupon_id", "department"]]
    )


class MartSummary(Described):
    """A mart that is served."""

    release: str = Field(description="Release that holds it.", examples=["store-3"])
    path: str = Field(description="Where its rows are.", examples=["/v1/marts/store/coupon_info"])


class MartColumn(BaseModel):
    """A column of a mart."""

    name: str = Field(description="Name of the column.", examples=["discount"])
    type: str = Field(
        description="Type in JSON: integer, number, boolean or string. Days and times are strings.",
        examples=["integer"],
    )
    data_type: str = Field(description="Type in the database.", examples=["integer"])
    is_nullable: bool = Field(description="Whether a row may have no value.", examples=[False])
    description: str = Field(
        description="What it means, and its unit.", examples=["Percent off the price."]
    )


class MartSchema(Described):
    """What a mart's contract says."""

    columns: list[MartColumn] = Field(description="Columns, in the order of a document.")


class MartList(Page):
    """The marts that are served, all on one page."""

    data: list[MartSummary]


class MartPage(Page):
    """A page of a mart's rows; `/schema` says what is in them."""

    data: list[dict[str, Any]]


def filters_of(contract: Contract) -> tuple[str, ...]:
    """The columns that a mart can be filtered by: those of its key and of its indexes."""
    indexed = [*contract.key, *(name for index in contract.indexes for name in index)]
    return tuple(name for name in dict.fromkeys(indexed) if name not in PageQuery.model_fields)


def summary_of(release: str, contract: Contract, prefix: str) -> MartSummary:
    """A mart in a few words."""
    return MartSummary(
        **_described(contract),
        release=release,
        path=f"{prefix}/v1/marts/{contract.domain}/{contract.name}",
    )


def schema_of(contract: Contract) -> MartSchema:
    """What a contract says."""
    columns = [_column(contract, column) for column in contract.columns]
    return MartSchema(**_described(contract), columns=columns)


def read_query(
    contract: Contract, asked: Sequence[tuple[str, str]]
) -> tuple[PageQuery, dict[str, Any]]:
    """The page and the filters' values that a request asks for.

    Raises a problem that names every parameter that is not accepted, and the known filters.
    """
    known = filters_of(contract)
    errors: list[dict[str, Any]] = []
    controls: dict[str, str] = {}
    filters: dict[str, Any] = {}
    for name, value in asked:
        if name in PageQuery.model_fields:
            controls[name] = value
        elif name not in known:
            takes = f"{', '.join([*known, 'limit'])} and next"
            text = f"Not a filter of {contract.domain}.{contract.name}, which takes {takes}"
            errors.append({"loc": ("query", name), "msg": text})
        else:
            try:
                filters[name] = _reader(contract.column(name)).validate_python(value)
            except ValidationError as error:
                errors += [{**part, "loc": ("query", name)} for part in error.errors()]
    query = PageQuery()
    try:
        query = PageQuery.model_validate(controls)
    except ValidationError as error:
        errors += [{**part, "loc": ("query", *part["loc"])} for part in error.errors()]
    if errors:
        raise invalid_parts(errors)
    return query, filters


def _reader(column: Column) -> TypeAdapter[Any]:
    kind = python_type(column)
    by_type = READERS[kind]
    return READERS_OF_NAMES.get(column.name, by_type) if kind is str else by_type


def _described(contract: Contract) -> dict[str, Any]:
    return {
        "domain": contract.domain,
        "mart": contract.name,
        "description": contract.description,
        "key": contract.key,
        "filters": filters_of(contract),
    }


def _column(contract: Contract, column: Column) -> MartColumn:
    return MartColumn(
        name=column.name,
        type=JSON_TYPES.get(python_type(column), "string"),
        data_type=column.data_type,
        is_nullable=contract.may_be_null(column.name),
        description=column.description,
    )
