"""What the API reads from a release of the loyalty domain.

Belongs here: its tables, the conditions of its lists, and the problems of unknown keys. Does not
belong here: HTTP, and how a list becomes SQL.
"""

from services.api.listing import Listing
from services.api.queries import Lookup, Mart
from services.common.problems import ProblemError, not_found

DOMAIN = "loyalty"


def unknown_member(email: str) -> ProblemError:
    """The member is not in the release."""
    return not_found("unknown-member", f"No member {email}.")


def unknown_promotion(promotion: str) -> ProblemError:
    """The promotion is not in the release."""
    return not_found("unknown-promotion", f"No promotion {promotion}.")


MEMBERSHIP = Mart(DOMAIN, "members")
FUNNELS = Mart(DOMAIN, "promotion_funnel")
ALL_CONVERSIONS = Mart(DOMAIN, "conversions")
CLEANING = Mart(DOMAIN, "loyalty_cleaning_report")

MEMBER = Lookup(mart=MEMBERSHIP, key="email", unknown=unknown_member)

MEMBERS: Listing[str] = Listing(
    name="members",
    mart=MEMBERSHIP,
    key=["email"],
    equal=["joined_by", "gender"],
    names={"gender": (MEMBERSHIP,)},
)

PROMOTIONS: Listing[str] = Listing(
    name="promotions",
    mart=FUNNELS,
    key=["promotion", "channel"],
    equal=["promotion", "channel"],
    names={"promotion": (FUNNELS,), "channel": (FUNNELS,)},
)

CLEANING_REPORT: Listing[str] = Listing(
    name="loyalty-cleaning-report", mart=CLEANING, key=["dataset", "outcome"]
)

# Several rows share the key: this only finds out whether the promotion exists.
PROMOTION = Lookup(mart=FUNNELS, key="promotion", unknown=unknown_promotion)

FUNNEL = Listing(
    name="funnel",
    mart=FUNNELS,
    key=["channel"],
    within="promotion = {0}::text",
    parent=PROMOTION,
)

CONVERSIONS = Listing(
    name="conversions",
    mart=ALL_CONVERSIONS,
    key=["conversion_id"],
    within="promotion = {0}::text",
    parent=PROMOTION,
    equal=["conversion_type", "email"],
)
