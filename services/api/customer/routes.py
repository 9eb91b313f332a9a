"""Routes of vouchers and accounts: paths, parameters and their documentation."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.api.customer import repository
from services.api.customer.repository import DOMAIN, unknown_account
from services.api.customer.schemas import (
    AccountNumber,
    AccountsQuery,
    BroadbandQuery,
    CashbackQuery,
    CleaningQuery,
    CustomerBroadbandPage,
    CustomerCashbackPage,
    CustomerInitialServicesPage,
    Customers,
    CustomersPage,
    Explained,
    InitialServicesQuery,
    SegmentsQuery,
    Selected,
    SelectQuery,
    SelectRequest,
    VoucherCleaningReportPage,
    VoucherRankingPage,
    VoucherSegmentsPage,
    VouchersQuery,
)
from services.api.customer.vouchers import (
    RankedVouchers,
    no_voucher,
    unknown_country,
    unknown_segment,
)
from services.api.lists import answer_list
from services.common.answers import KeptPerRelease, answers_of
from services.common.bodies import body_problems, read_body, read_here, read_query
from services.common.openapi import release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input
from services.common.scopes import ScopedRouter
from services.common.values import NO_NUMBER

vouchers = ScopedRouter(KeyScope.VOUCHERS_SELECT, prefix="/v1/vouchers", tags=["vouchers"])
accounts = ScopedRouter(KeyScope.ACCOUNTS_READ, prefix="/v1/accounts", tags=["accounts"])
ROUTERS = (vouchers, accounts)

BAD_NUMBER = invalid_input("path", "account_number", NO_NUMBER)
FUTURE = invalid_input("body", "last_order_ts", "Input should not be in the future")


@vouchers.post(
    "/select",
    response_model=Explained | Selected,
    responses=release_responses(
        DOMAIN,
        *body_problems(),
        unknown_country("Atlantis", ["China", "Peru"]),
        no_voucher("Peru"),
        unknown_segment(),
        FUTURE,
        conditional=False,
    ),
    openapi_extra=read_here(SelectRequest, SelectQuery),
    summary="Choose a customer's voucher",
)
async def select_voucher(request: Request) -> Response:
    """The amount used most in the customer's country and segment.

    A customer in no segment (`/v1/vouchers/segments` lists the bounds), or in one without
    assignments in the country, gets the amount used most in the country.
    """
    query = read_query(request, SelectQuery)
    asked = await read_body(request, SelectRequest, {"segment_name": unknown_segment})
    kept: KeptPerRelease[RankedVouchers] = request.app.state.ranked_vouchers
    _, ranked = await kept.current()
    return ranked.select(asked, explain=query.explain)


@vouchers.get(
    "",
    response_model=VoucherRankingPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List voucher amounts by country and segment",
)
async def list_vouchers(request: Request, query: Annotated[VouchersQuery, Query()]) -> Response:
    """What vouchers are chosen from: how often each amount was assigned, and its rank."""
    return await answer_list(request, repository.VOUCHERS, query)


@vouchers.get(
    "/segments",
    response_model=VoucherSegmentsPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List the segments that vouchers are chosen by",
)
async def list_voucher_segments(
    request: Request, query: Annotated[SegmentsQuery, Query()]
) -> Response:
    """The bounds of each: numbers of orders, or of whole days since the last order."""
    return await answer_list(request, repository.SEGMENTS, query)


@vouchers.get(
    "/cleaning-report",
    response_model=VoucherCleaningReportPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="What became of the raw voucher assignments",
)
async def list_voucher_cleaning_report(
    request: Request, query: Annotated[CleaningQuery, Query()]
) -> Response:
    """How many were kept, and how many were dropped for each reason."""
    return await answer_list(request, repository.CLEANING_REPORT, query)


@accounts.get(
    "",
    response_model=CustomersPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List accounts",
)
async def list_accounts(request: Request, query: Annotated[AccountsQuery, Query()]) -> Response:
    """Accounts of the utility's customers, current and past, a page at a time."""
    return await answer_list(request, repository.ACCOUNTS, query)


@accounts.get(
    "/{account_number}",
    response_model=Customers,
    responses=release_responses(DOMAIN, unknown_account(7), BAD_NUMBER),
    summary="An account",
)
async def read_account(request: Request, account_number: AccountNumber) -> Response:
    """Its status, when its customer signed up and left, where, and by whose referral."""
    return await answers_of(request).make(request, DOMAIN, repository.ACCOUNT.read, account_number)


@accounts.get(
    "/{account_number}/broadband",
    response_model=CustomerBroadbandPage,
    responses=release_responses(DOMAIN, unknown_account(7), BAD_NUMBER),
    summary="Broadband lines of an account",
)
async def list_broadband(
    request: Request, account_number: AccountNumber, query: Annotated[BroadbandQuery, Query()]
) -> Response:
    """Lines that run or ran, by number."""
    return await answer_list(request, repository.BROADBAND, query, account_number)


@accounts.get(
    "/{account_number}/initial-services",
    response_model=CustomerInitialServicesPage,
    responses=release_responses(DOMAIN, unknown_account(7), BAD_NUMBER),
    summary="Services that an account ordered at sign-up",
)
async def list_initial_services(
    request: Request, account_number: AccountNumber, query: Annotated[InitialServicesQuery, Query()]
) -> Response:
    """Kinds of service and how many were ordered, by name."""
    return await answer_list(request, repository.INITIAL_SERVICES, query, account_number)


@accounts.get(
    "/{account_number}/cashback",
    response_model=CustomerCashbackPage,
    responses=release_responses(DOMAIN, unknown_account(7), BAD_NUMBER),
    summary="Cashback of an account by month",
)
async def list_cashback(
    request: Request, account_number: AccountNumber, query: Annotated[CashbackQuery, Query()]
) -> Response:
    """Months with a cashback card, the earliest first."""
    return await answer_list(request, repository.CASHBACK, query, account_number)
