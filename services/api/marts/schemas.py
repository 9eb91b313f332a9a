"""Documents about marts, and the filters that a mart takes: both from its contract."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pollux.contracts import Column, Contract
from services.api.documents import Page, PageQuery
from services.common.contracts import python_type
from services.common.parameters import parameter_errors
from services.common.problems import invalid_parts
from services.common.values import (
    CalendarDay,
    Codes,
    Department,
    EmailInQuery,
    Exact,
    Id,
    Moment,
    Names,
    Number,
    Text,
    Truth,
)

# How the texts of a filter are read, by the type of its column: one text, or several where the
# values are codes or names.
READERS: Mapping[type, TypeAdapter[Any]] = {
    Decimal: TypeAdapter(Exact),
    float: TypeAdapter(Number),
    bool: TypeAdapter(Truth),
    datetime: TypeAdapter(Moment),
}
READERS_OF_SEVERAL: Mapping[type, TypeAdapter[Any]] = {
    int: TypeAdapter(Codes[Id]),
    str: TypeAdapter(Names[Text]),
    date: TypeAdapter(Codes[CalendarDay]),
}
# Some names are kept in a form of their own.
READERS_OF_NAMES: Mapping[str, TypeAdapter[Any]] = {
    "department": TypeAdapter(Names[Department]),
    "email": TypeAdapter(Names[EmailInQuery]),
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
    sorts: list[str] = Field(
        description="Columns that it can be sorted by; with a minus before it, descending.",
        examples=[["coupon_id", "discount"]],
    )


class MartSummary(Described):
    """A mart that is served."""

    release: str = Field(description="Release that holds it.", examples=["store-3"])
    path: str = Field(description="Where its rows are.", examples=["/v1/marts/store/coupon_info"])
    parquet: str = Field(
        description="Where they are as one Parquet file, if the release's files are kept there.",
        examples=["/v1/marts/store/coupon_info/parquet"],
    )


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
    is_personal: bool = Field(
        description="Whether a value alone says who a person is, or describes one.",
        examples=[False],
    )
    identifies: str | None = Field(
        description="Whose id it is, if it is one: household, customer, member or account.",
        examples=[None],
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


class MartQuery(PageQuery):
    """Which page of a mart, in which order."""

    sort: str | None = Field(
        default=None,
        description="Order by one of the columns that `/schema` names in `sorts`; with a minus, "
        "descending. Ties, and a list without it, go by the key.",
    )


def filters_of(contract: Contract) -> tuple[str, ...]:
    """The columns that a mart can be filtered by: those of its key and of its indexes."""
    indexed = [*contract.key, *(name for index in contract.indexes for name in index)]
    return tuple(name for name in dict.fromkeys(indexed) if name not in MartQuery.model_fields)


def sorts_of(contract: Contract) -> tuple[str, ...]:
    """The columns that a mart can be sorted by: those that its key or an index begins with."""
    return tuple(dict.fromkeys([contract.key[0], *(index[0] for index in contract.indexes)]))


def summary_of(release: str, contract: Contract, prefix: str) -> MartSummary:
    """A mart in a few words."""
    path = f"{prefix}/v1/marts/{contract.domain}/{contract.name}"
    return MartSummary(
        **_described(contract), release=release, path=path, parquet=f"{path}/parquet"
    )


def schema_of(contract: Contract) -> MartSchema:
    """What a contract says."""
    columns = [_column(contract, column) for column in contract.columns]
    return MartSchema(**_described(contract), columns=columns)


def read_query(
    contract: Contract, asked: Sequence[tuple[str, str]]
) -> tuple[MartQuery, dict[str, Any]]:
    """The page and the filters' values that a request asks for.

    Raises a problem that names every parameter that is not accepted, and the known ones.
    """
    filters_known, controls = filters_of(contract), tuple(MartQuery.model_fields)
    kinds = {name: python_type(contract.column(name)) for name in filters_known}
    errors = parameter_errors(
        (name for name, _ in asked),
        (*filters_known, *controls),
        [*(name for name, kind in kinds.items() if kind in READERS_OF_SEVERAL), "fields"],
    )
    texts: dict[str, list[str]] = {}
    for name, value in asked:
        texts.setdefault(name, []).append(value)
    given: dict[str, Any] = {name: texts[name][0] for name in controls if name in texts}
    if "fields" in texts:
        given["fields"] = texts["fields"]
    filters: dict[str, Any] = {}
    for name in (name for name in filters_known if name in texts):
        try:
            filters[name] = _read(name, kinds[name], texts[name])
        except ValidationError as error:
            errors += [{**part, "loc": ("query", name)} for part in error.errors()]
    sorts = sorts_of(contract)
    given.setdefault("sort", sorts[0])
    if given["sort"].removeprefix("-") not in sorts:
        errors.append({"loc": ("query", "sort"), "msg": f"Not one of {', '.join(sorts)}"})
    query = MartQuery()
    try:
        query = MartQuery.model_validate(given)
    except ValidationError as error:
        errors += [{**part, "loc": ("query", part["loc"][0])} for part in error.errors()]
    if errors:
        raise invalid_parts(errors)
    return query, filters


def _read(name: str, kind: type, texts: list[str]) -> Any:  # noqa: ANN401
    if kind in READERS:
        return READERS[kind].validate_python(texts[0])
    by_type = READERS_OF_SEVERAL[kind]
    reader = READERS_OF_NAMES.get(name, by_type) if kind is str else by_type
    return reader.validate_python(texts)


def _described(contract: Contract) -> dict[str, Any]:
    return {
        "domain": contract.domain,
        "mart": contract.name,
        "description": contract.description,
        "key": contract.key,
        "filters": filters_of(contract),
        "sorts": sorts_of(contract),
    }


def _column(contract: Contract, column: Column) -> MartColumn:
    return MartColumn(
        name=column.name,
        type=JSON_TYPES.get(python_type(column), "string"),
        data_type=column.data_type,
        is_nullable=contract.may_be_null(column.name),
        description=column.description,
        is_personal=column.is_personal,
        identifies=column.identifies,
    )
