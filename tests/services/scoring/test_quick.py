"""The quick reader takes plain bodies only, and reads them as the models do."""

import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from services.scoring.quick import quick_reader
from services.scoring.schemas import (
    MAX_REQUESTS,
    BatchRequest,
    Coupon,
    Customer,
    ScoreRequest,
)
from tests.services.scoring.bodies import COUPON, CUSTOMER

quick = quick_reader(ScoreRequest)
quick_batch = quick_reader(list[ScoreRequest], longest=MAX_REQUESTS)

NAMES = [*Customer.model_fields, *Coupon.model_fields, "other"]
# What JSON can hold in one place, as its text: bounds, spellings, things that look like others.
ODD = [
    "null", "true", "false", "[]", "{}", '""', '"7"', '" 7 "', "1.0", "1e2", "1E400", "-0", "-0.0",
    "-1", "0.1", "NaN", "Infinity", "999999999", "1000000000", "-999999999", "9223372036854775807",
    "9223372036854775808", "1e14", "1e15", "999999999999999", "1000000000000000.5", "1e-400",
    '"Men"', '"Sports"', '"buy more"', '" Men"', '"Men\\n"', '"Me\\u006e"',
    '"M\\u00e4nner"', '"\\ud800"',
    '"\\u0000"', '"nan"', '"' + "x" * 255 + '"', '"' + "x" * 256 + '"', '"\\u0661"', '"_"',
]  # fmt: skip
values = st.sampled_from(ODD) | st.floats().map(json.dumps) | st.integers().map(str)
values |= st.text(max_size=5).map(json.dumps)


def written(document: dict[str, Any], changes: dict[str, str]) -> str:
    """A document as JSON, with the texts of some of its values."""
    texts = {name: json.dumps(value) for name, value in document.items()} | changes
    fields = ",".join(f'"{name}": {text}' for name, text in texts.items())
    return f"{{{fields}}}"


def by_model(model: type[BaseModel], body: bytes) -> Any:
    try:
        return model.model_validate_json(body).model_dump()
    except ValidationError:
        return None


@given(changes=st.dictionaries(st.sampled_from(NAMES), values, max_size=3))
def test_what_it_takes_the_model_reads_the_same(changes: dict[str, str]) -> None:
    own = {name: text for name, text in changes.items() if name in Customer.model_fields}
    others = {name: text for name, text in changes.items() if name not in own}
    body = (
        f'{{"customer": {written(CUSTOMER, own)}, "coupons": [{written(COUPON, others)}]}}'
    ).encode()
    found = quick(body)
    if found is not None:
        assert msgspec.to_builtins(found) == by_model(ScoreRequest, body)
    batch = quick_batch(b"[%b]" % body)
    assert (batch is None) == (found is None)


@given(text=st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_what_is_no_request_is_left_to_the_model(text: bytes) -> None:
    assert quick(text) is None


@pytest.mark.parametrize("changes", [{}, {"age": "null"}, {"mean_buy_price": "17"}])
def test_plain_requests_are_taken(changes: dict[str, str]) -> None:
    body = f'{{"customer": {written(CUSTOMER, changes)}, "coupons": []}}'.encode()
    found = quick(body)
    assert found is not None
    assert type(found.customer.mean_buy_price) is float


def test_a_field_given_twice_has_the_same_value() -> None:
    customer = written(CUSTOMER, {}).replace('"age": ', '"age": 99, "age": ')
    body = f'{{"coupons": [], "customer": {customer}}}'.encode()
    assert msgspec.to_builtins(quick(body)) == by_model(ScoreRequest, body)


def test_too_many_requests_are_left_to_the_model() -> None:
    one = json.dumps({"customer": CUSTOMER, "coupons": []})
    full = f"[{','.join([one] * MAX_REQUESTS)}]".encode()
    assert len(quick_batch(full)) == MAX_REQUESTS
    assert quick_batch(full[:-1] + f",{one}]".encode()) is None


@pytest.mark.parametrize("annotation", [bytes, bool, int | str, dict[str, int], BatchRequest])
def test_a_field_of_an_unknown_kind_is_an_error_of_the_program(annotation: Any) -> None:
    with pytest.raises(TypeError):
        quick_reader(annotation)


def test_a_field_that_a_model_judges_itself_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError):
        quick_reader(type("Odd", (BaseModel,), {"__annotations__": {"a": Literal["x"]}}))
