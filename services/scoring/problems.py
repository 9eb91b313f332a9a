"""The problems that only scoring has."""

from http import HTTPStatus

from services.common.problems import ProblemError


def no_model() -> ProblemError:
    """No model was promoted yet, or the promoted one cannot be used."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no-model",
        "No model yet",
        "No coupon-propensity model can be used: train one (pollux learn propensity).",
        headers={"Retry-After": "5"},
    )
