"""What the API reads from a release of the customer domain.

Belongs here: its tables, the conditions of its lists, and the problems of unknown keys. Does not
belong here: HTTP, how a list becomes SQL, and how a voucher is chosen.
"""

from services.api.listing import Listing
from services.api.queries import Lookup, Mart
from services.common.problems import ProblemError, not_found

DOMAIN = "customer"


def unknown_account(account_number: int) -> ProblemError:
    """The account is not in the release."""
    return not_found("unknown-account", f"No customer has account {account_number}.")


RANKING = Mart(DOMAIN, "voucher_ranking")
SEGMENT_BOUNDS = Mart(DOMAIN, "voucher_segments")
ASSIGNMENTS = Mart(DOMAIN, "voucher_assignment_segmented")
CLEANING = Mart(DOMAIN, "voucher_cleaning_report")
CUSTOMERS = Mart(DOMAIN, "customers")
BROADBAND_LINES = Mart(DOMAIN, "customer_broadband")
INITIAL = Mart(DOMAIN, "customer_initial_services")
CASHBACK_MONTHS = Mart(DOMAIN, "customer_cashback")

# The segments and vouchers to choose by, all kept in memory.
SEGMENTS_IN_ORDER = """
select segment_name, segment, first_number, last_number
from {release}.voucher_segments
order by segment_name, position
"""

RANKED_VOUCHERS = """
select country_code, segment_name, segment, voucher_amount, times_used, share, rank
from {release}.voucher_ranking
order by country_code, segment_name, segment, rank
"""

ASSIGNED_COUNTRIES = """
select distinct country_code
from {release}.voucher_assignment_segmented
where country_code is not null
"""

VOUCHERS: Listing[str] = Listing(
    name="vouchers",
    mart=RANKING,
    key=["country_code", "segment_name", "segment", "rank"],
    equal=["country_code", "segment_name", "segment"],
    # A country without vouchers and a segment without assignments are still known names.
    names={"country_code": (RANKING, ASSIGNMENTS), "segment": (RANKING, SEGMENT_BOUNDS)},
)

SEGMENTS: Listing[str] = Listing(
    name="segments", mart=SEGMENT_BOUNDS, key=["segment_name", "position"]
)

CLEANING_REPORT: Listing[str] = Listing(name="cleaning-report", mart=CLEANING, key=["outcome"])

ACCOUNT = Lookup(mart=CUSTOMERS, key="account_number", unknown=unknown_account)

ACCOUNTS: Listing[int] = Listing(
    name="accounts",
    mart=CUSTOMERS,
    key=["account_number"],
    equal=["account_status", "sign_up_source"],
    filters={
        "signed_up_from": "sign_up_date >= {0}::text::date",
        "signed_up_to": "sign_up_date <= {0}::text::date",
        "is_churned": "(churn_date is not null) = {0}::boolean",
    },
    names={"account_status": (CUSTOMERS,), "sign_up_source": (CUSTOMERS,)},
)

BROADBAND = Listing(
    name="broadband",
    mart=BROADBAND_LINES,
    key=["service_number"],
    within="account_number = {0}::bigint",
    parent=ACCOUNT,
)

INITIAL_SERVICES = Listing(
    name="initial-services",
    mart=INITIAL,
    key=["service"],
    within="account_number = {0}::bigint",
    parent=ACCOUNT,
)

CASHBACK = Listing(
    name="cashback",
    mart=CASHBACK_MONTHS,
    key=["cashback_month"],
    within="account_number = {0}::bigint",
    parent=ACCOUNT,
)
