"""A name means the same however it is spelled: at every filter, path and body that takes one."""

import unicodedata
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from tests.services.api.support import problem

pytestmark = pytest.mark.integration

# What stands in the data, in place of what the made-up releases have: a column, and its names.
RENAMED = {
    "store__r3": {
        "department": {"Boys": "Käfer", "Girls": "Łódź"},
        "category": {"Shirt": "Рубашка", "Vest": "ΌΨΗ"},
        "vendor": {"Prada": "Ångström & Co"},
        "gender": {"F": "Żona"},
    },
    "customer__r3": {
        "account_status": {"ACT": "Ûber aktiv"},
        "sign_up_source": {"phone": "Téléphone"},
        "segment": {"5-13": "Häufig"},
        "frequency_segment": {"5-13": "Häufig"},
    },
    "loyalty__r3": {"gender": {"F": "Žena"}, "channel": {"Facebook": "Ťukání"}},
    "household__r3": {"commodity": {"SOUP": "CRÈME BRÛLÉE"}},
}
COUNTRIES = "China, Narnia, Peru, Relandia, São Tomé."
DEPARTMENTS = "Käfer, Men, Sport, Women, Łódź."
# Where a name is asked by, and how the data have it.
DOORS = [
    ("/v1/coupons?department={}", "Käfer"),
    ("/v1/coupons?sort=-discount&limit=2&department={}", "Łódź"),
    ("/v1/coupon-offers?department={}", "Käfer"),
    ("/v1/products?department={}", "Łódź"),
    ("/v1/products?min_price=1&category={}", "Рубашка"),
    ("/v1/products?category={}", "ΌΨΗ"),
    ("/v1/products?vendor={}", "Ångström & Co"),
    ("/v1/products?vendor={}", "Bear's & Co; --"),
    ("/v1/store-customers?gender={}", "Żona"),
    ("/v1/vouchers?country_code={}", "São Tomé"),
    ("/v1/vouchers?segment={}", "Häufig"),
    ("/v1/accounts?account_status={}", "Ûber aktiv"),
    ("/v1/accounts?sign_up_source={}", "Téléphone"),
    ("/v1/members?gender={}", "Žena"),
    ("/v1/promotions?promotion={}", "Çà 100 %"),
    ("/v1/promotions?promotion=Summer&channel={}", "Ťukání"),
    ("/v1/promotions/{}/funnel", "Çà 100 %"),
    ("/v1/promotions/{}/funnel", "Back/to school"),
    ("/v1/promotions/{}/conversions?limit=3", "Çà 100 %"),
    ("/v1/promotions/Summer/conversions?email={}", "anna@example.org"),
    ("/v1/members/{}", "ünï+code@example.org"),
    ("/v1/members/{}", "кот@example.org"),
    ("/v1/commodities/{}/associations", "CRÈME BRÛLÉE"),
    ("/v1/marts/store/coupon_info?department={}", "Käfer"),
    ("/v1/marts/loyalty/members?email={}", "кот@example.org"),
    ("/v1/marts/customer/voucher_ranking?country_code={}", "São Tomé"),
    ("/v1/marts/household/commodity_associations?commodity={}", "CRÈME BRÛLÉE"),
]
# All of them differ from the name itself, for some name at least, and mean it.
SPELLINGS = {
    "as it is": str,
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "upper": str.upper,
    "lower": str.lower,
    "upper, decomposed": lambda name: unicodedata.normalize("NFD", name.upper()),
    "blanks": lambda name: f" \t{name}  ",
    "a no-break blank": lambda name: f"\u00a0{name.swapcase()}",
    "a byte order mark": lambda name: f"\ufeff{name}",
}


@pytest.fixture(scope="module")
def installation(installation: tuple[Settings, ServingStore]) -> tuple[Settings, ServingStore]:
    with installation[1].connect(autocommit=True) as connection:
        for schema, renamed in RENAMED.items():
            for column, names in renamed.items():
                tables = connection.execute(
                    "select table_name from information_schema.columns "
                    "where table_schema = %s and column_name = %s",
                    [schema, column],
                ).fetchall()
                for (table,) in tables:
                    for old, new in names.items():
                        connection.execute(
                            f"update {schema}.{table} set {column} = %s where {column} = %s",
                            [new, old],
                        )
        # One promotion twice, told apart by case alone.
        connection.execute(
            "insert into loyalty__r3.promotion_funnel (promotion, channel, clicks, baskets, "
            "purchases, revenue, extra_codes_sent) "
            "values ('SUMMER', 'Shouting', 1, 1, 1, 1, 1)"
        )
    return installation


def asked(client: httpx.Client, path: str, name: str) -> httpx.Response:
    return client.get(path.replace("{}", quote(name, safe="")))


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("path", "name"), DOORS)
def test_a_name_is_found_by_every_spelling(
    client: httpx.Client, path: str, name: str, spelling: str
) -> None:
    expected = asked(client, path, name)
    found = asked(client, path, SPELLINGS[spelling](name))
    assert (found.status_code, expected.status_code) == (200, 200), found.text
    document = found.json()
    rows, right = document.get("data", [document]), expected.json().get("data", [expected.json()])
    assert rows == right
    assert rows


def test_pages_go_on_in_the_spelling_that_was_asked_for(client: httpx.Client) -> None:
    path, seen, following = "/v1/products?department=K%C3%84FER&limit=2", [], ""
    while following is not None:
        answer = client.get(path + following).json()
        seen += [row["product_id"] for row in answer["data"]]
        following = answer["next"] and f"&next={answer['next']}"
    rows = client.get("/v1/products?limit=1000").json()["data"]
    assert seen == [row["product_id"] for row in rows if row["department"] == "Käfer"]
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("path", "name", "known"),
    [
        ("/v1/coupons?department={}", "department", DEPARTMENTS),
        ("/v1/coupon-offers?department={}", "department", DEPARTMENTS),
        ("/v1/products?category={}", "category", "ΌΨΗ, Рубашка."),
        ("/v1/store-customers?min_age=20&gender={}", "gender", "M, Żona."),
        ("/v1/vouchers?country_code={}", "country_code", COUNTRIES),
        ("/v1/members?gender={}", "gender", "Žena."),
        ("/v1/promotions?channel={}", "channel", "Instagram, Shouting, no click, Ťukání."),
        ("/v1/marts/store/coupon_info?department={}", "department", DEPARTMENTS),
    ],
)  # fmt: skip
def test_a_name_that_no_list_knows_is_refused_with_those_that_there_are(
    client: httpx.Client, path: str, name: str, known: str
) -> None:
    found = problem(asked(client, path, "Atlantis"), 422, "invalid-input")
    reason = f"No {name} is called 'Atlantis'; there are: {known}"
    assert found["errors"] == [{"in": "query", "name": name, "detail": reason}]


@pytest.mark.parametrize("mart", ["members", "conversions"])
def test_nobody_is_told_the_emails_of_others(client: httpx.Client, mart: str) -> None:
    path = f"/v1/marts/loyalty/{mart}?email=x%40y"
    found = problem(client.get(path), 422, "invalid-input")
    reason = "No email is called 'x@y'."
    assert found["errors"] == [{"in": "query", "name": "email", "detail": reason}]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/vouchers?country_code=Narnia",
        "/v1/coupons?department=Sport&min_discount=2000",
        "/v1/coupons?department=sPORTS&min_discount=2000",
        "/v1/coupons?product_id=40&min_discount=2000",
    ],
)
def test_a_known_name_without_rows_is_an_empty_list(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["data"]) == (200, [])


def test_a_product_that_nobody_knows_is_refused(client: httpx.Client) -> None:
    found = problem(client.get("/v1/coupons?product_id=4711"), 422, "invalid-input")
    (error,) = found["errors"]
    assert (error["name"], error["detail"]) == ("product_id", "No product 4711.")


def test_names_that_differ_by_case_alone_are_found_together_and_each(client: httpx.Client) -> None:
    def promotions(name: str) -> set[str]:
        rows = client.get("/v1/promotions", params={"promotion": name}).json()["data"]
        return {row["promotion"] for row in rows}

    assert promotions("Summer") == {"Summer"}
    assert promotions("SUMMER") == {"SUMMER"}
    assert promotions("summer") == {"Summer", "SUMMER"}


def select(client: httpx.Client, country: str) -> Any:
    body = {
        "customer_id": 1, "country_code": country, "last_order_ts": "2018-05-03",
        "first_order_ts": "2017-05-03", "total_orders": 2, "segment_name": "frequency_segment",
    }  # fmt: skip
    answer = client.post("/v1/vouchers/select?explain=true", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["country_code"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_country_in_a_body_is_found_by_every_spelling(
    client: httpx.Client, spelling: str
) -> None:
    assert select(client, SPELLINGS[spelling]("São Tomé")) == "São Tomé"


@pytest.mark.parametrize("email", ["a+b@example.org", "o'b rien@example.org"])
def test_a_plus_that_was_not_encoded_is_told(client: httpx.Client, email: str) -> None:
    found = problem(
        client.get(f"/v1/promotions/Summer/conversions?email={email}"), 422, "invalid-input"
    )
    assert found["errors"] == [
        {
            "in": "query",
            "name": "email",
            "detail": "An email holds no blank; a + in it is written %2B in a query",
        }
    ]


def test_an_encoded_plus_is_found(client: httpx.Client) -> None:
    path = "/v1/promotions/%C3%87%C3%A0%20100%20%25/conversions?email="
    rows = client.get(path + "%C3%BCn%C3%AF%2Bcode%40example.org").json()["data"]
    assert {row["email"] for row in rows} == {"ünï+code@example.org"}
