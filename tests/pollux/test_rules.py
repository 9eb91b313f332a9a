"""What texts of the data mean in Python; that the models agree is a test of every build."""

import asyncio
import unicodedata
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.transform.rule_cases import CASES, macro_text
from pollux.domains import domain_named
from pollux.propensity import category_code
from pollux.rules import (
    RULES,
    cases_of_letters,
    conversion_total,
    conversion_type,
    department,
    email_key,
    gender_field,
    item_list,
    text_key,
)
from pollux.types import LABEL_LENGTH
from services.api.loyalty.schemas import ConversionsQuery
from services.api.store.schemas import CouponsQuery
from services.events.coupons.catalogue import Catalogue
from services.events.loyalty.messages import Refused, read_conversions, read_loyalty_rows
from tests.conftest import PROJECT_DIR


def test_rules_say_what_texts_mean() -> None:
    assert email_key(" Anna@X.org\t") == "anna@x.org"
    assert email_key("anna") is None
    assert department("SPORTS") == department("sport") == "Sport"
    assert department("Sportswear") == "Sportswear"
    assert conversion_type("CLICKConversion ") == "click"
    assert conversion_type("click") is None
    assert item_list("[6; 14;]") == "6;14"
    assert conversion_total("12.5") == Decimal("12.50")
    assert conversion_total("12.345") is None
    assert gender_field("a@b,fb,insta,x, F") == "F"
    assert gender_field("a@b,fb,insta") is None


def test_the_models_are_held_to_all_rules() -> None:
    assert CASES.keys() == RULES.keys()
    assert (PROJECT_DIR / "macros" / "rule_cases.sql").read_text() == macro_text()
    tests = (PROJECT_DIR / "tests" / "dbt").glob("assert_*_mean_what_they_do_in_python.sql")
    compared = "".join(path.read_text() for path in tests)
    assert [rule for rule in RULES if f'"{rule}": ' not in compared] == []


@pytest.mark.parametrize("spelling", ["Sports", "SPORTS", "sport"])
def test_a_department_is_found_by_any_spelling_of_sports(spelling: str) -> None:
    # One value, in one reading.
    assert CouponsQuery(department=spelling).department == [["Sport"]]
    known = {"department": ["Boys", "Sport"]}
    assert category_code("department", spelling, known) == 1.0


@pytest.mark.parametrize("text", sorted({case for cases in CASES.values() for case in cases}))
def test_a_key_is_its_own_key(text: str) -> None:
    """So whatever a cohort or a list hands out is found again."""
    key = text_key(text)
    assert text_key(key) == key
    if 0 < len(key) <= LABEL_LENGTH:
        assert domain_named("loyalty").key(domain_named("loyalty").key(text)) == key
    assert {text_key(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {key}


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("Änne.Öz@example.org", "A\u0308NNE.O\u0308Z@EXAMPLE.ORG", True),
        ("ЖЁЛТЫЙ", "жёлтый", True),
        ("ΌΔΥΣΣΕΎΣ", "όδυσσεύς", True),
        ("Łódź", "ŁÓDŹ", True),
        ("\u212aelvin", "KELVIN", True),
        ("J\u030cA", "ǰa", True),
        ("VIỆT NAM", "việt nam", True),
        ("\ufeffSummer\u00a0", "summer", True),
        ("Straße", "STRASSE", False),
        ("İzmir", "izmir", False),
        ("Sum mer", "Summer", False),
        ("Muller", "Müller", False),
    ],
)
def test_which_texts_are_the_same(one: str, other: str, *, are_same: bool) -> None:
    assert (text_key(one) == text_key(other)) == are_same


def test_every_letter_has_one_lower_case() -> None:
    """No chain and no letter that grows: what an engine's translate can do."""
    assert not cases_of_letters().keys() & set(cases_of_letters().values())
    assert len(cases_of_letters()) > 700
    assert {len(letter) for pair in cases_of_letters().items() for letter in pair} == {1}


@pytest.mark.parametrize("name", ["gender", "coupon_type", "department"])
@pytest.mark.parametrize("asked", ["ŁÓDŹ", "L\u0301o", " łódź", "\u00a0Łódź"])
def test_the_scorer_knows_a_category_by_any_spelling(name: str, asked: str) -> None:
    code = category_code(name, asked, {name: ["Boys", "Łódź"]})
    assert code == 1.0 or (asked == "L\u0301o" and np.isnan(code))


@pytest.mark.parametrize(
    "asked", ["Łódź", "ŁÓDŹ", "Ło\u0301dz\u0301", "\u00a0łódź\u3000", "SPORTS"]
)
def test_events_name_a_department_by_any_spelling(asked: str) -> None:
    async def departments(_sql: str) -> list[tuple[str]]:
        return [("Boys",), ("Łódź",), ("Sport",)]

    database = SimpleNamespace(fetch=departments)
    catalogue = Catalogue(database, SimpleNamespace(schema="store__r1"))  # type: ignore[arg-type]
    asyncio.run(catalogue.departments())
    assert catalogue.spelled(asked) == ("Sport" if asked == "SPORTS" else "Łódź")
    assert catalogue.spelled("Lodz") is None


@pytest.mark.parametrize(
    "line",
    [
        "{0}, click, {1}, {0}",
        '{{"promotion": "{0}", "type": "click", "email": "{1}", "where": "{0}"}}',
    ],
)
def test_events_hold_names_as_files_do(line: str) -> None:
    payload = line.format("E\u0301te\u0301", " A\u0308NNE@example.org\u00a0").encode()
    (found,) = read_conversions(payload)
    assert not isinstance(found, Refused)
    assert (found.promotion, found.channel, found.email) == ("Été", "Été", "änne@example.org")


def test_an_email_is_spelled_alike_wherever_it_is_asked_for() -> None:
    spelled = "änne@example.org"
    asked = " A\u0308NNE@Example.ORG\u00a0"
    assert ConversionsQuery(email=asked).email == spelled
    assert domain_named("loyalty").key(asked) == spelled
    (row,) = read_loyalty_rows(f'{{"email": "{asked}"}}'.encode())
    assert row == (spelled, None, None, None)


@pytest.mark.parametrize(
    ("field", "value", "is_read"),
    [
        ("where", "c" * 255, True),
        ("where", "c" * 256, False),
        ("promotion", "p" * 256, False),
        ("email", "@" + "e" * 255, False),
    ],
)
def test_an_event_is_refused_for_a_name_that_a_file_is(
    field: str, value: str, is_read: bool
) -> None:
    row = {"promotion": "P", "type": "click", "email": "a@b", "where": "Web"} | {field: value}
    (found,) = read_conversions(",".join(row.values()).encode())
    assert isinstance(found, Refused) != is_read
    if isinstance(found, Refused):
        assert found.reason == f"{field}: longer than 255 characters"
