"""Values and names given to the gateway: read by the table of types, compared as everywhere."""

import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from docs.spellings import SPELLINGS, Spelling
from pollux import Cohort, Customer, GatewayError, UnknownCustomer
from pollux.conditions import matches
from pollux.runtime.settings import Settings
from tests.support.releases import many_accounts, small_installation, write_release

ACCOUNT = "9693465"
MEMBERS = pa.table(
    {
        "email": ["anna@example.org", "änne.öz@example.org", "кот@example.org"],
        "fb_user": ["12345", None, "Ωmega"],
        "insta_user": pa.array([None, None, None], pa.string()),
        "gender": ["F", "f", "Žena"],
        "joined_by": ["list", "purchase", "list"],
        "joined_at": pa.array([None, datetime(2022, 5, 1, 10, 30), None], pa.timestamp("us")),  # noqa: DTZ001
    }
)
# What a type of the table is stored as.
STORED: dict[str, pa.DataType] = {
    "text": pa.string(), "id": pa.int64(), "integer": pa.int32(), "number": pa.float64(),
    "boolean": pa.bool_(), "date": pa.date32(), "timestamp": pa.timestamp("us"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    found = small_installation(tmp_path, monkeypatch)
    write_release(found, "loyalty", 1, {"members": MEMBERS})
    return found


def as_python(spelling: Spelling) -> bool:
    """Whether a value of JSON is the same one in Python."""
    return not isinstance(spelling.written, dict | list)


SCALARS = [
    pytest.param(type_, one, id=f"{type_}: {str(one.written)[:30]!r}")
    for type_ in STORED
    for one in (*SPELLINGS[type_].text, *filter(as_python, SPELLINGS[type_].json))
]


@pytest.mark.parametrize(("type_", "spelling"), SCALARS)
def test_where_reads_values_by_the_table(type_: str, spelling: Spelling) -> None:
    values = [spelling.value, None]
    table = pa.table({"column": pa.array(values, STORED[type_])})

    def where(value: Any) -> list[bool]:
        found: list[bool] = matches(table, (), {"column": value}, lambda _: []).to_pylist()
        return found

    if spelling.reason is None:
        assert where(spelling.written) == [True, False]
        assert where([spelling.written, None]) == [True, True]
    else:
        for value in (spelling.written, [spelling.written]):
            with pytest.raises(GatewayError) as refused:
                where(value)
            assert (
                str(refused.value) == f"column cannot be {spelling.written!r}: {spelling.reason}."
            )


@pytest.mark.parametrize(
    ("written", "is_found"),
    [("12.5", True), (12.5, True), ("12.500", True), (Decimal("12.50"), True), ("1.25e1", True),
     (12, False)],
)  # fmt: skip
def test_where_reads_decimals_with_all_their_digits(written: Any, is_found: bool) -> None:
    table = pa.table({"price": pa.array([Decimal("12.50")], pa.decimal128(18, 2))})
    for one in (written, np.float64(written) if isinstance(written, float) else written):
        assert matches(table, (), {"price": one}, lambda _: []).to_pylist() == [is_found]
    for wrong, why in (("12.505", "more than 2 decimals"), ("1,5", "not a number")):
        with pytest.raises(GatewayError, match=f"^price cannot be '{wrong}': {why}.$"):
            matches(table, (), {"price": wrong}, lambda _: [])


@pytest.mark.parametrize("spelling", SPELLINGS["id"].text, ids=lambda one: repr(one.written))
def test_an_id_is_read_by_the_table(spelling: Spelling, settings: Settings) -> None:
    with pytest.raises(UnknownCustomer) as refused:
        Customer.from_id(str(spelling.written))
    why = "" if spelling.reason is None else f": {spelling.reason}"
    # Nobody has these ids; whoever writes one wrong is told what is wrong.
    asked = repr(spelling.written)
    assert str(refused.value) == f"No customer of domain customer has the id {asked}{why}."


@pytest.mark.parametrize(
    "written",
    [
        9693465, "9693465", "9693465.0", " 09693465", "+9693465", 9693465.0, Decimal(9693465),
        np.int32(9693465), np.float64(9693465), np.float32(9693465), np.str_("9693465"),
        pa.scalar(9693465),
    ],
    ids=repr,
)  # fmt: skip
def test_every_spelling_of_an_id_is_that_customer(written: Any) -> None:
    customer = Customer.from_id(written)
    assert customer.customer_id == ACCOUNT
    cohort = Cohort.init_all_customers()
    assert cohort.by_id(written) == customer
    assert written in cohort
    assert cohort.index(written) == 3
    assert Cohort.from_ids([written, "1000001", ACCOUNT]).ids == [ACCOUNT, "1000001"]
    assert cohort.where(account_number=written).ids == [ACCOUNT]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (
            "sign_up_date",
            [date(2021, 12, 20), "2021-12-20", "2021-12-20 00:00:00", np.datetime64("2021-12-20"),
             np.datetime64("2021-12-20", "ns"), datetime(2021, 12, 20, tzinfo=UTC)],
        ),
        ("referrers_account_number", [1000001, "1000001.0", np.int64(1000001), 1000001.0]),
        ("account_status", ["Live", "live", " LIVE\u00a0", np.str_("live")]),
    ],
)  # fmt: skip
def test_where_takes_every_spelling(column: str, values: list[Any]) -> None:
    cohort = Cohort.init_all_customers()[1:]
    for value in values:
        assert cohort.where(**{column: value}).ids == [ACCOUNT], value
        assert cohort.where(**{column: [value, value]}).ids == [ACCOUNT], value


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("sign_up_date", "2021-12-20 10:00:00", "a date with a time of day"),
        ("sign_up_date", np.datetime64("2021-12-20T10:00"), "a date with a time of day"),
        ("sign_up_date", 20211220, "not a date as 2024-12-31"),
        ("account_number", "9693465.5", "not a whole number"),
        (
            "account_number",
            np.float32(2.0**25),
            "an id with an exponent, which may have lost digits",
        ),
        ("account_number", 2.0**60, "an id with an exponent, which may have lost digits"),
        ("account_number", float("nan"), "nan is not a number; leave it out for null"),
        ("account_status", b"Live", "a value is wanted, not a bytes"),
    ],
)
def test_where_says_why_a_value_is_none(column: str, value: Any, why: str) -> None:
    cohort = Cohort.init_all_customers()
    for one in (value, [value]):
        with pytest.raises(GatewayError) as refused:
            cohort.where(**{column: one})
        assert str(refused.value) == f"{column} cannot be {value!r}: {why}."


def test_a_blank_is_null_as_in_a_file() -> None:
    cohort = Cohort.init_all_customers()
    assert cohort.where(churn_date=" ") == cohort.where(churn_date=None)
    assert cohort.where(account_status="") == cohort.where(account_status=None)
    assert len(cohort.where(account_status=[None, "Churned"])) == 2


def test_names_are_compared_as_everywhere() -> None:
    fans: Any = Cohort.init_all_customers(domain="loyalty")
    for spelling in (
        "ÄNNE.ÖZ@example.org", " änne.öz@EXAMPLE.org ",
        unicodedata.normalize("NFD", "Änne.Öz@example.org"),
    ):  # fmt: skip
        assert fans.where(email=spelling).ids == ["änne.öz@example.org"]
        assert fans.by_id(spelling).customer_id == "änne.öz@example.org"
        assert spelling in fans
    assert fans.where(fb_user="ωMEGA").ids == ["кот@example.org"]
    # Facebook's users may be numbers.
    assert fans.where(fb_user=12345).ids == ["anna@example.org"]
    # As it is asked for; else all that are the same text.
    assert fans.where(gender="F").ids == ["anna@example.org"]
    assert fans.where(gender="f").ids == ["änne.öz@example.org"]
    assert len(fans.where(gender=" F ")) == 2
    assert fans.where(gender=["žENA", "F"]).ids == ["anna@example.org", "кот@example.org"]


def test_a_name_that_nobody_has_is_refused_with_those_that_there_are() -> None:
    cohort = Cohort.init_all_customers()
    message = "No account_status is called 'Lvie'; there are: Churned, Live."
    for value in ("Lvie", ["Live", "Lvie"]):
        with pytest.raises(GatewayError) as refused:
            cohort.where(account_status=value)
        assert str(refused.value) == message
    # Nobody in this part of it: that is an answer.
    assert cohort[:1].where(account_status="churned").ids == []


def test_a_sample_knows_the_names_of_the_whole_release(settings: Settings) -> None:
    write_release(settings, "customer", 2, {"customers": many_accounts(50)})
    for few in (Cohort.init_sample(1, seed=3), Cohort.from_ids(["1000007"])):
        (customer,) = few
        other = "web" if customer.sign_up_source != "web" else "phone"
        assert few.where(sign_up_source=other.upper()).ids == []
        assert len(few.where(sign_up_source=str(customer.sign_up_source).upper())) == 1
        with pytest.raises(GatewayError, match=r"there are: partner, phone, web\.$"):
            few.where(sign_up_source="letter")


def test_of_too_many_names_none_is_a_list() -> None:
    emails = [f"{number}@example.org" for number in range(10_001)]
    table = pa.table({"email": emails})
    from pollux.columns import Snapshot  # noqa: PLC0415
    from pollux.domains import DOMAINS  # noqa: PLC0415

    snapshot = Snapshot(None, DOMAINS["loyalty"], table, is_complete=True)  # type: ignore[arg-type]
    assert snapshot.known_names("email") == []
    assert matches(table, (), {"email": "7@EXAMPLE.org"}, snapshot.known_names).to_pylist()[7]
    assert not any(matches(table, (), {"email": "x"}, snapshot.known_names).to_pylist())
