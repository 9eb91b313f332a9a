"""A key means the same at every door, however it is spelled: API, gateway, scorer and events.

Spellings are made by hand, not by `text_key`: letters in the other case, accents apart, blanks
around; of a number, signs, zeros and points.
"""

import asyncio
import json
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pollux.conditions import matches
from pollux.domains import DOMAINS
from pollux.errors import GatewayError
from pollux.propensity import category_code
from pollux.rules import BLANKS, cases_of_letters, text_key
from pollux.values import read_for
from services.api.customer.repository import VOUCHERS
from services.api.customer.schemas import AccountNumber, SelectRequest, VouchersQuery
from services.api.customer.segments import Segments
from services.api.customer.vouchers import RankedVouchers
from services.api.documents import PageQuery
from services.api.household.schemas import HouseholdKey
from services.api.listing import Listing
from services.api.loyalty.repository import FUNNEL, PROMOTIONS
from services.api.loyalty.schemas import ConversionsQuery, EmailInPath, PromotionsQuery
from services.api.marts.repository import Marts
from services.api.store.repository import COUPONS
from services.api.store.schemas import CouponId, CouponsQuery
from services.common.contracts import contract_of
from services.common.database import Database
from services.common.problems import ProblemError
from services.common.releases import Release
from services.events.coupons.catalogue import Catalogue
from services.events.coupons.messages import read_entry, read_focus
from services.events.loyalty.messages import Conversion, Listed, read_conversions, read_loyalty_rows
from services.scoring.schemas import Coupon
from tests.services.common.test_values import COUPON, SELECTION

T = TypeVar("T")

UTC = ZoneInfo("UTC")
NOW = 1_760_000_000
FEW = settings(max_examples=40)
OTHER_CASES: dict[str, set[str]] = {}
for upper, lower in cases_of_letters().items():
    OTHER_CASES.setdefault(upper, set()).add(lower)
    OTHER_CASES.setdefault(lower, set()).add(upper)
LETTERS = "abcXYZ09 -&" + "äÖéßñçÅøŁžİıſ" + "αΣςώ" + "БйЁ" + "日本" + "e\u0301" + "\u1e9b\u0323"


@st.composite
def known_and_asked(draw: st.DrawFn) -> tuple[list[str], str, str]:
    """Names as the data keep them, none the same text as another, and a spelling of one."""
    texts = draw(st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=5))
    composed = [unicodedata.normalize("NFC", text).strip() for text in texts]
    # Sport is written in one way, and no name is a blank.
    names = {text_key(name): name for name in composed if name}
    names.setdefault("peru", "Peru")
    name = draw(st.sampled_from(sorted(names.values())))
    return sorted(names.values()), name, draw(spellings_of(name))


@st.composite
def spellings_of(draw: st.DrawFn, name: str) -> str:
    """The same text in another case and form, with blanks around."""
    letters = [
        draw(st.sampled_from([letter, *sorted(OTHER_CASES.get(letter, ()))])) for letter in name
    ]
    form = draw(st.sampled_from(["NFC", "NFD"]))
    blanks = st.text(BLANKS, max_size=2)
    return draw(blanks) + unicodedata.normalize(form, "".join(letters)) + draw(blanks)


class Names:
    """A database whose tables hold a row for each name; it knows nothing of spellings."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    async def fetch(self, sql: str, *arguments: Any) -> list[tuple[str, ...]]:
        if sql.startswith("select distinct"):
            return [(name,) for name in self.known]
        if "from release.contracts" in sql:
            return []
        asked = [one for one in arguments if isinstance(one, str | list)]
        wanted = {name for one in asked for name in ([one] if isinstance(one, str) else one)}
        # A document, and its place in the order.
        return [(json.dumps(name), name) for name in self.known if name in wanted]


def answered(work: Callable[[Database, Release], Awaitable[T]], known: Sequence[str]) -> T:
    database: Any = Names(known)

    async def run() -> T:
        return await work(database, Release("d", 1, None, "test"))

    return asyncio.run(run())


def listed(listing: Listing[Any], query: PageQuery, known: Sequence[str]) -> list[str]:
    body = answered(lambda database, release: listing.read(database, release, query), known)
    found: list[str] = json.loads(body)["data"]
    return found


def in_gateway(column: str, known: Sequence[str], asked: str) -> list[str]:
    table = pa.table({column: pa.array(known, pa.string())})
    met = matches(table, (), {column: asked}, lambda _: known).to_pylist()
    return [name for name, is_met in zip(known, met, strict=True) if is_met]


@FEW
@given(case=known_and_asked())
def test_a_country(case: tuple[list[str], str, str]) -> None:
    known, name, asked = case
    assert listed(VOUCHERS, VouchersQuery(country_code=asked), known) == [name]
    rows = [(one, "country", "all", Decimal(1), 1, 1.0, 1) for one in known]
    ranked = RankedVouchers(Release("customer", 1, None, "test"), Segments(()), rows, known)
    body = json.dumps(SELECTION | {"country_code": asked})
    chosen = ranked.select(SelectRequest.model_validate_json(body), explain=True)
    assert json.loads(chosen.body)["country_code"] == name
    assert in_gateway("country_code", known, asked) == [name]


@FEW
@given(case=known_and_asked())
def test_a_promotion(case: tuple[list[str], str, str]) -> None:
    known, name, asked = case
    assert listed(PROMOTIONS, PromotionsQuery(promotion=asked), known) == [name]
    body = answered(
        lambda database, release: FUNNEL.read(database, release, PageQuery(), asked), known
    )
    assert json.loads(body)["data"] == [name]
    assert in_gateway("promotion", known, asked) == [name]
    row = {"promotion": asked, "type": "click", "email": "a@x", "where": "Web"}
    (conversion,) = read_conversions(json.dumps(row).encode())
    assert isinstance(conversion, Conversion)
    # Kept as it came, like a file's; whoever asks finds it again.
    assert listed(PROMOTIONS, PromotionsQuery(promotion=name), [conversion.promotion]) == [
        conversion.promotion
    ]


@FEW
@given(case=known_and_asked(), data=st.data())
def test_a_department(case: tuple[list[str], str, str], data: st.DataObject) -> None:
    known, name, asked = case
    if data.draw(st.booleans()):
        known = sorted({*known, "Sport"} - {one for one in known if text_key(one) == "sports"})
        name = "Sport"
        asked = data.draw(spellings_of(data.draw(st.sampled_from(["Sport", "Sports"]))))
    assert listed(COUPONS, CouponsQuery(department=asked), known) == [name]
    assert in_gateway("department", known, asked) == [name]

    async def read_mart(database: Database, release: Release) -> bytes:
        marts = Marts()
        contract = contract_of("store", "coupon_info")
        marts._kept["d"] = (release, {"coupon_info": contract})
        return await marts.read_page(database, release, "coupon_info", [("department", asked)])

    assert json.loads(answered(read_mart, known))["data"] == [name]

    async def read_event(database: Database, release: Release) -> str | None:
        catalogue = Catalogue(database, release)
        catalogue._departments = {text_key(one): one for one in known}
        event = read_focus(json.dumps({"id": 1, "ts": NOW, "dep": asked}).encode(), UTC)
        return catalogue.spelled(event.department or "")

    assert answered(read_event, known) == name
    coupon = Coupon.model_validate_json(json.dumps(COUPON | {"department": asked}))
    code = category_code("department", coupon.department, {"department": known})
    assert code == known.index(name)


@FEW
@given(case=known_and_asked(), data=st.data())
def test_an_email(case: tuple[list[str], str, str], data: st.DataObject) -> None:
    address = case[1].replace(" ", "") + "@example.org"
    asked = data.draw(spellings_of(address))
    key = text_key(address)
    assert ConversionsQuery(email=asked).email == key
    assert TypeAdapter(EmailInPath).validate_python(asked) == key
    assert DOMAINS["loyalty"].key(asked) == key
    assert in_gateway("email", [key, "other@example.org"], asked) == [key]
    (listed_row,) = read_loyalty_rows(json.dumps({"email": asked}).encode())
    assert isinstance(listed_row, Listed)
    row = {"promotion": "P", "type": "click", "email": asked, "where": "Web"}
    (conversion,) = read_conversions(json.dumps(row).encode())
    assert isinstance(conversion, Conversion)
    assert listed_row.email == conversion.email == key


@st.composite
def numbers_and_spellings(draw: st.DrawFn) -> tuple[int, int | float | str]:
    number = draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-999, 999))
    zeros, point = "0" * draw(st.integers(0, 3)), draw(st.sampled_from(["", ".", ".0", ".000"]))
    sign = "-" if number < 0 else draw(st.sampled_from(["", "+"]))
    texts = [f"{sign}{zeros}{abs(number)}{point}", f" {sign}{abs(number)}{point}\t"]
    values: list[int | float | str] = [number, *texts]
    if abs(number) < 2**53:
        values.append(float(number))
    return number, draw(st.sampled_from(values))


@FEW
@given(case=numbers_and_spellings())
def test_an_id(case: tuple[int, int | float | str]) -> None:
    number, asked = case
    body = json.dumps(asked)
    # A path and a query are text.
    for key in (CouponId, AccountNumber, HouseholdKey):
        assert TypeAdapter(key).validate_python(str(asked)) == number
    assert CouponsQuery.model_validate({"product_id": str(asked)}).product_id == number
    coupon = json.dumps(COUPON | {"coupon_id": "…"}).replace('"\\u2026"', body)
    assert Coupon.model_validate_json(coupon).coupon_id == number
    event = read_entry(f'{{"id": {body}, "ts": {NOW}}}'.encode(), UTC)
    assert event.customer_id == number
    for domain in ("customer", "household", "store"):
        assert DOMAINS[domain].key(asked) == number
    assert read_for(pa.int64(), asked) == number


@FEW
@given(case=known_and_asked())
def test_a_name_that_nobody_has(case: tuple[list[str], str, str]) -> None:
    known = case[0]
    # Longer than any of the names.
    asked = "nobody is called so"
    with pytest.raises(ProblemError) as refused:
        listed(PROMOTIONS, PromotionsQuery(promotion=asked), known)
    told = f"No promotion is called {asked!r}; there are: {', '.join(known)}."
    assert refused.value.detail == f"query promotion: {told}"
    with pytest.raises(GatewayError) as raised:
        in_gateway("promotion", known, asked)
    assert str(raised.value) == told
