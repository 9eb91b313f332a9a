"""What each feature added to a prediction, in words.

Belongs here: the words of each feature. Does not belong here: how much a feature added
(`pollux.propensity`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pollux.propensity import CATEGORICAL, FEATURES, PropensityModel

# What a feature is, and the unit of its value.
WORDS: Mapping[str, tuple[str, str]] = {
    "gender": ("the customer's gender", ""),
    "coupon_type": ("the coupon's type", ""),
    "department": ("the coupon's department", ""),
    "age": ("the customer's age", " years"),
    "mean_buy_price": ("the mean price that the customer pays", " dollars"),
    "total_coupons_used": ("the number of items the customer bought with coupons", ""),
    "mean_discount_received": ("the mean discount the customer received", " %"),
    "unique_products_bought": ("the number of products the customer bought", ""),
    "unique_products_bought_with_coupons": (
        "the number of products the customer bought with coupons",
        "",
    ),
    "total_items_bought": ("the number of items the customer bought", ""),
    "discount": ("the coupon's discount", " %"),
    "how_many_products_required": ("the number of items the coupon requires", ""),
    "product_mean_price": ("the mean price of the coupon's products", " dollars"),
    "products_available": ("the number of the coupon's products", ""),
    "coupons_per_item": ("the share of the customer's items bought with coupons", ""),
    "discount_per_coupon": ("the customer's discounts per item bought with a coupon", " %"),
    "unique_products_per_item": ("the customer's distinct products per item", ""),
    "unique_products_per_coupon": (
        "the customer's distinct products per item, of those bought with coupons",
        "",
    ),
    "log_price_ratio": (
        "the logarithm of the coupon's mean price over the customer's mean price",
        "",
    ),
}

# Items that a coupon of a whole department requires.
ANY_NUMBER = -1


def explain(model: PropensityModel, features: npt.NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    """The explanation of each row of `encode`'s matrix, the strongest feature first."""
    for values, (*added, base) in zip(features, model.explain(features).tolist(), strict=True):
        contributions = [
            _contribution(model, name, value, one)
            for name, value, one in zip(FEATURES, values, added, strict=True)
        ]
        contributions.sort(key=lambda one: -abs(one["added"]))
        yield {"base": base, "contributions": contributions}


def _contribution(
    model: PropensityModel, feature: str, encoded: np.float32, added: float
) -> dict[str, Any]:
    value = _value(model, feature, encoded)
    what, unit = WORDS[feature]
    state = "is not known" if value is None else f"is {_shown(value)}{unit}"
    if feature == "how_many_products_required" and value == ANY_NUMBER:
        state = "is not fixed"
    effect = "changes nothing"
    if added:
        effect = f"makes use {'more' if added > 0 else 'less'} likely"
    return {
        "feature": feature,
        "value": value,
        "added": added,
        "words": f"{what} {state}, which {effect}",
    }


def _value(model: PropensityModel, feature: str, encoded: np.float32) -> str | float | None:
    """What the model was given; None if it was given nothing that it knows."""
    if not np.isfinite(encoded):
        return None
    if feature in CATEGORICAL:
        return model.categories[feature][int(encoded)]
    # The shortest text that means this number of 32 bits.
    return float(str(encoded))


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,.6g}"
