"""Turns requests into the model's columns, and its predictions into answers."""

from collections.abc import Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any

import numpy as np
import orjson

from pollux.propensity import (
    CATEGORICAL,
    NUMERIC,
    Floats,
    PropensityModel,
    category_code,
    encode,
)
from services.scoring.explanations import explain
from services.scoring.schemas import Coupon, Customer, ScoreRequest

CUSTOMER_NUMBERS = tuple(name for name in NUMERIC if name in Customer.model_fields)
COUPON_NUMBERS = tuple(name for name in NUMERIC if name in Coupon.model_fields)
CUSTOMER_CATEGORIES = tuple(name for name in CATEGORICAL if name in Customer.model_fields)
COUPON_CATEGORIES = tuple(name for name in CATEGORICAL if name in Coupon.model_fields)


def answer(model: PropensityModel, request: ScoreRequest, *, explains: bool = False) -> bytes:
    """The answer to a request as JSON, the best coupon first."""
    return orjson.dumps(predict(model, [request], explains=explains)[0])


def answer_batch(model: PropensityModel, requests: Sequence[ScoreRequest]) -> bytes:
    """The answers to requests as JSON, in their order."""
    return orjson.dumps(predict(model, requests))


def predict(
    model: PropensityModel, requests: Sequence[ScoreRequest], *, explains: bool = False
) -> list[list[dict[str, Any]]]:
    """The predictions of each request, the best first; ties go by coupon."""
    sizes = [len(request.coupons) for request in requests]
    if not sum(sizes):
        return [[] for _ in requests]
    customers = [request.customer for request in requests]
    coupons = [coupon for request in requests for coupon in request.coupons]
    columns = {
        name: np.repeat(values, sizes)
        for name, values in {
            **_numbers(customers, CUSTOMER_NUMBERS),
            **_codes(customers, CUSTOMER_CATEGORIES, model),
        }.items()
    }
    columns |= _numbers(coupons, COUPON_NUMBERS)
    columns |= _codes(coupons, COUPON_CATEGORIES, model)
    features = encode(columns)
    predictions = model.predict(features, [size for size in sizes if size])
    ids = [coupon.coupon_id for coupon in coupons]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((np.array(ids), -predictions, owners)).tolist()
    customer_ids = [request.customer.customer_id for request in requests for _ in request.coupons]
    chances = predictions.tolist()
    found = [
        {"coupon_id": ids[at], "customer_id": customer_ids[at], "prediction": chances[at]}
        for at in order
    ]
    if explains:
        explanations = list(explain(model, features))
        for at, one in zip(order, found, strict=True):
            one["explanation"] = explanations[at]
    return [found[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]


def _numbers(documents: Sequence[Customer | Coupon], names: Sequence[str]) -> dict[str, Floats]:
    values = attrgetter(*names)
    # NumPy reads null as NaN.
    rows = np.array([values(document) for document in documents], dtype=np.float64)
    return dict(zip(names, rows.T, strict=True))


def _codes(
    documents: Sequence[Customer | Coupon], names: Sequence[str], model: PropensityModel
) -> dict[str, Floats]:
    codes = {}
    for name in names:
        texts = [getattr(document, name) for document in documents]
        # There are few texts, and many documents.
        code = {text: category_code(name, text, model.categories) for text in set(texts)}
        codes[name] = np.array([code[text] for text in texts])
    return codes
