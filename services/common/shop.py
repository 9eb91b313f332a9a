"""What several services say about the shop."""

from http import HTTPStatus

from services.common.problems import ProblemError


def unknown_store_customer(customer_id: int) -> ProblemError:
    """The customer of the shop is not in the release."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-store-customer",
        "Unknown customer of the shop",
        f"No customer {customer_id} of the shop.",
    )
