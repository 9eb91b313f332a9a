"""Whole lists as they are sent: from one release, in constant memory, and to their end or not."""

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psycopg
import pytest
import zstandard

from pollux.contracts import Column, Contract, contract_json
from pollux.runtime.serving import READER_ROLE, ServingStore
from pollux.runtime.settings import Settings
from services.api.listing import harmless
from services.common import copying
from services.common.database import COPIES_AT_ONCE
from tests.services.api.support import (
    LARGEST,
    NUMBER,
    problem,
    switch,
    wait_until,
    write_release,
)

pytestmark = pytest.mark.integration

CSV = {"Accept": "text/csv"}
NDJSON = {"Accept": "application/x-ndjson"}
PLAIN = {"Accept-Encoding": "identity"}
BIG = "/v1/marts/store/big"
# More than all buffers between the server and a client that does not read.
BIG_ROWS = 120_000
TEXTS = "/v1/marts/store/texts"
NAMED = "/v1/marts/store/named"
# What a spreadsheet would run, what only looks like it, and what CSV has to quote.
WRITTEN = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠a",  # noqa: RUF001
    "'=1", "'quoted'", "a=1", " =1", "", "plain", 'a "b", c', "two\nlines", "\\.", "\\", "\\n",
    "ü🙂", "\x01\x02", "NULL",
]  # fmt: skip


def add_mart(
    connection: psycopg.Connection,
    name: str,
    query: str,
    *columns: Column,
    indexes: tuple[tuple[str, ...], ...] = (),
) -> None:
    contract = Contract(
        domain="store", name=name, description="One row.", columns=columns,
        key=(columns[0].name,), indexes=indexes,
    )  # fmt: skip
    table = f"store__r{NUMBER}.{name}"
    connection.execute(f"create table {table} as {query}")
    connection.execute(f"alter table {table} add primary key ({columns[0].name})")
    connection.execute(f"grant select on {table} to {READER_ROLE}")
    connection.execute(
        "insert into release.contracts values ('store', %s, %s, %s::jsonb)",
        [NUMBER, name, contract_json(contract)],
    )


@pytest.fixture(scope="module")
def installation(installation: tuple[Settings, ServingStore]) -> tuple[Settings, ServingStore]:
    key = Column(name="n", data_type="bigint", is_required=True)
    with installation[1].connect(autocommit=True) as connection:
        add_mart(
            connection, "big", "select n, repeat('x', 200) as text "
            f"from generate_series(1, {BIG_ROWS}) as n",
            key, Column(name="text", data_type="text", is_required=True),
        )  # fmt: skip
        add_mart(
            connection, "texts",
            "select 0::bigint as n, ''::text as text, null::text as nothing, 0::numeric(18, 2) "
            "as price, 0::float8 as share, true as is_new, 0::integer as \"=sum\" limit 0",
            key,
            Column(name="text", data_type="text", is_required=True),
            Column(name="nothing", data_type="text", is_required=False),
            Column(name="price", data_type="decimal(18, 2)", is_required=True),
            Column(name="share", data_type="double precision", is_required=True),
            Column(name="is_new", data_type="boolean", is_required=True),
            Column(name="=sum", data_type="integer", is_required=True),
        )  # fmt: skip
        add_mart(
            connection, "named", 'select n, 10 * n as ids, \'x\' as "{0} $1" '
            "from generate_series(1::bigint, 3) as n",
            key,
            Column(name="ids", data_type="bigint", is_required=True),
            Column(name="{0} $1", data_type="text", is_required=True),
            indexes=(("ids",), ("{0} $1",)),
        )  # fmt: skip
        connection.cursor().executemany(
            f"insert into store__r{NUMBER}.texts values (%s, %s, null, -1.5, -0.1, true, -1)",
            list(enumerate(WRITTEN)),
        )
    return installation


@pytest.fixture
def owner(installation: tuple[Settings, ServingStore]) -> Iterator[psycopg.Connection]:
    with installation[1].connect(autocommit=True) as connection:
        yield connection


def copies(owner: psycopg.Connection) -> int:
    """Whole lists that the server sends now."""
    query = "select count(*) from pg_stat_activity where query ilike 'copy (%'"
    ((count,),) = owner.execute(query).fetchall()
    return int(count)


def test_csv_holds_texts_that_no_spreadsheet_runs(client: httpx.Client) -> None:
    text = client.get(TEXTS, headers=CSV).text
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["n", "text", "nothing", "price", "share", "is_new", "'=sum"]
    for row, written in zip(rows, WRITTEN, strict=True):
        assert row[1][:1] not in tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001
        # Whoever reads it back takes one mark off.
        assert row[1].removeprefix("'") == written
        assert row[1] == harmless(written)
        # Numbers stay numbers.
        assert row[2:] == ["", "-1.50", "-0.1", "true", "-1"]
    # Null and an empty text are told apart.
    assert '\n15,"",,' in text


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 2, 3]), ({"ids": "20"}, [2]), ({"ids": "20,30", "{0} $1": "X"}, [2, 3]),
        ({"fields": "n,{0} $1", "sort": "{0} $1"}, [1, 2, 3]),
    ],
)  # fmt: skip
def test_a_column_may_be_called_like_a_parameter_or_a_place(
    client: httpx.Client, query: dict[str, str], numbers: list[int]
) -> None:
    page = client.get(NAMED, params=query).json()["data"]
    assert [(row["n"], row["{0} $1"]) for row in page] == [(n, "x") for n in numbers]
    lines = client.get(NAMED, params=query, headers=NDJSON).text.splitlines()
    assert [json.loads(line) for line in lines] == page
    rows = list(csv.DictReader(client.get(NAMED, params=query, headers=CSV).text.splitlines()))
    assert [(row["n"], row["{0} $1"]) for row in rows] == [(str(n), "x") for n in numbers]


def test_ndjson_is_one_document_a_line(client: httpx.Client) -> None:
    answer = client.get(TEXTS, headers=NDJSON)
    lines = answer.text.split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["text"] for line in lines] == WRITTEN
    assert json.loads(lines[0])["=sum"] == -1


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("TEXT/CSV;q=0.5, application/json;q=0.4", "text/csv; charset=utf-8"),
        ("text/csv;q=0.4, application/json;q=0.5", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=x", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("*/*, text/csv;q=0.9", "application/json"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("", "application/json"),
        ("application/ndjson", "application/x-ndjson"),
        ("application/x-ndjson, text/csv", "application/x-ndjson"),
    ],
)
def test_the_format_is_what_is_preferred(client: httpx.Client, accept: str, kind: str) -> None:
    path = "/v1/coupons?ids=1,2"
    # In memory as JSON, which must not answer what asks for another format.
    client.get(path)
    answer = client.get(path, headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize("headers", [CSV, NDJSON])
def test_formats_have_tags_of_their_own(client: httpx.Client, headers: dict[str, str]) -> None:
    page = client.get("/v1/coupons")
    whole = client.get("/v1/coupons", headers=headers)
    tag = whole.headers["etag"]
    assert tag != page.headers["etag"]
    assert tag.startswith(page.headers["etag"][:-1])
    again = client.get("/v1/coupons", headers=headers | {"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    other = headers | {"If-None-Match": page.headers["etag"]}
    assert client.get("/v1/coupons", headers=other).status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/coupons?limit=5", "limit"), ("/v1/coupons?next=", "next"),
        ("/v1/coupons?count=true", "count"), ("/v1/households/1/recommendations?k=3", "k"),
        ("/v1/marts/store/coupon_info?limit=5", "limit"),
    ],
)  # fmt: skip
def test_a_whole_list_has_no_pages(client: httpx.Client, path: str, name: str) -> None:
    found = problem(client.get(path, headers=CSV), 422, "invalid-input")
    assert found["errors"] == [
        {
            "in": "query",
            "name": name,
            "detail": "A whole list has no pages: leave it out, or ask for application/json",
        }
    ]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/accounts/4711/cashback", 404, "unknown-account"),
        ("/v1/promotions/Winter/funnel", 404, "unknown-promotion"),
        ("/v1/coupons?department=Cars", 422, "invalid-input"),
        ("/v1/coupons?product_id=4711", 422, "invalid-input"),
        ("/v1/coupons?fields=colour", 422, "invalid-input"),
        ("/v1/marts/store/nothing", 404, "unknown-mart"),
        ("/v1/marts/shop/nothing", 404, "unknown-domain"),
    ],
)
def test_what_is_unknown_is_so_in_every_format(
    client: httpx.Client, path: str, status: int, kind: str
) -> None:
    for headers in (CSV, NDJSON):
        problem(client.get(path, headers=headers), status, kind)


def test_names_are_found_by_every_spelling(client: httpx.Client) -> None:
    for path in ("/v1/promotions/summer/funnel", "/v1/coupons?department=GIRLS",
                 "/v1/coupons?department=girls,SPORTS"):  # fmt: skip
        lines = client.get(path, headers=NDJSON).text.splitlines()
        assert [json.loads(line) for line in lines] == client.get(path).json()["data"]
        assert lines


def test_a_head_of_a_whole_list_is_short(client: httpx.Client, owner: psycopg.Connection) -> None:
    answer = client.head(BIG, headers=CSV)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    wait_until(lambda: copies(owner) == 0, seconds=5)


def test_a_whole_list_is_of_one_release(client: httpx.Client, owner: psycopg.Connection) -> None:
    """Another is published, and the tables of this one are to go, while it is sent."""
    write_release(owner, NUMBER + 1, "store")
    try:
        with client.stream("GET", BIG, headers=CSV | PLAIN) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "n,text"
            switch(owner, NUMBER + 1, "store")
            seen = "store-4"
            wait_until(
                lambda: client.get("/v1/coupons/1").headers["x-pollux-release"] == seen, seconds=5
            )
            owner.execute("set lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                owner.execute(f"drop table store__r{NUMBER}.big")
            assert answer.headers["x-pollux-release"] == f"store-{NUMBER}"
            assert answer.headers["etag"].startswith(f'"store-{NUMBER}-')
            numbers = [int(line.partition(",")[0]) for line in lines]
        assert numbers == list(range(1, BIG_ROWS + 1))
    finally:
        owner.execute("set lock_timeout = 0")
        switch(owner, NUMBER, "store", drop=NUMBER + 1)
        wait_until(
            lambda: client.get("/v1/coupons/1").headers["x-pollux-release"] == "store-3", seconds=5
        )


def test_a_client_that_goes_ends_its_list(client: httpx.Client, owner: psycopg.Connection) -> None:
    # More often than there may be lists at once: each gives its place back.
    for _ in range(COPIES_AT_ONCE + 1):
        with client.stream("GET", BIG, headers=NDJSON | PLAIN) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["n"] == 1
            assert copies(owner) == 1
        wait_until(lambda: copies(owner) == 0, seconds=5)


def test_a_client_that_takes_nothing_is_left(
    client: httpx.Client, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "STALLED_SECONDS", 0.2)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as stalled:
        request = f"GET {BIG} HTTP/1.1\r\nHost: localhost\r\nAccept: text/csv\r\n\r\n"
        stalled.sendall(request.encode())
        wait_until(lambda: copies(owner) == 1, seconds=5)
        wait_until(lambda: copies(owner) == 0, seconds=5)
        stalled.settimeout(5)
        received = b""
        while part := stalled.recv(2**20):
            received += part
    assert received.startswith(b"HTTP/1.1 200")
    # Cut short, and seen to be: the end of a chunked answer is missing.
    assert not received.endswith(b"0\r\n\r\n")


def test_too_many_lists_at_once_are_told_when_to_come_back(
    client: httpx.Client, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "WAIT_SECONDS", 0.1)
    with ExitStack() as lists:
        for _ in range(COPIES_AT_ONCE):
            lists.enter_context(client.stream("GET", BIG, headers=CSV | PLAIN))
        answer = client.get(BIG, headers=CSV)
        document = problem(answer, 503, "too-many-lists")
        assert document["detail"] == (
            "4 whole lists are being sent; ask again when one of them is done."
        )
        assert answer.headers["retry-after"] == "5"
        # Pages do not wait for them.
        assert client.get("/v1/coupons").status_code == 200
    wait_until(lambda: copies(owner) == 0, seconds=5)
    assert client.get("/v1/coupons", headers=CSV).status_code == 200


def test_a_list_that_fails_on_the_way_shows_it(
    client: httpx.Client, owner: psycopg.Connection
) -> None:
    with client.stream("GET", BIG, headers=CSV | PLAIN) as answer:
        parts = answer.iter_bytes()
        next(parts)
        owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'copy (%'"
        )
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    assert client.get("/v1/coupons", headers=CSV).status_code == 200


def test_up_to_a_thousand_ids_come_on_one_page(client: httpx.Client) -> None:
    rows = client.get("/v1/coupons?limit=1000").json()["data"]
    known = [row["coupon_id"] for row in rows]
    asked = [*known, *range(LARGEST - 1_000 + len(known), LARGEST)]
    assert len(asked) == 1_000
    page = client.get("/v1/coupons", params={"ids": ",".join(map(str, asked))}).json()
    assert page == {"data": rows, "next": None}
    few = client.get("/v1/coupons", params={"ids": "1,2,3", "limit": 2}).json()
    assert [row["coupon_id"] for row in few["data"]] == [1, 2]
    assert few["next"]
    many = ",".join(map(str, [*asked, 7]))
    found = problem(client.get("/v1/coupons", params={"ids": many}), 422, "invalid-input")
    assert found["errors"][0]["name"] == "ids"
    for wrong in ("", "1,", "x", "1;2"):
        found = problem(client.get("/v1/coupons", params={"ids": wrong}), 422, "invalid-input")
        assert found["errors"][0]["name"] == "ids"


def test_up_to_a_thousand_names_are_ids(client: httpx.Client) -> None:
    def ask(*ids: str) -> httpx.Response:
        return client.get("/v1/commodities", params={"ids": ids})

    (row,) = ask(",".join(["SOUP"] * 999), "no such thing").json()["data"]
    assert row["commodity"] == "SOUP"
    found = problem(ask(",".join(["SOUP"] * 1_000), "no such thing"), 422, "invalid-input")
    assert found["errors"] == [
        {
            "in": "query",
            "name": "ids",
            "detail": "List should have at most 1000 items after validation, not 1001",
        }
    ]


def test_fields_that_there_are_not_are_told_those_that_there_are(client: httpx.Client) -> None:
    found = problem(client.get("/v1/members?fields=email,colour"), 422, "invalid-input")
    assert found["errors"] == [
        {
            "in": "query",
            "name": "fields",
            "detail": "No field 'colour' in these documents, which have email, fb_user, "
            "insta_user, gender, joined_by, joined_at",
        }
    ]
    (first, *_) = client.get("/v1/members?fields=gender,email,gender").json()["data"]
    assert list(first) == ["gender", "email"]


@pytest.mark.parametrize(
    ("asked", "departments"),
    [
        ("MEAT, FRESH", {"MEAT, FRESH"}),
        ('"MEAT, FRESH"', {"MEAT, FRESH"}),
        ('"meat, fresh",grocery', {"MEAT, FRESH", "GROCERY"}),
        ("grocery", {"GROCERY"}),
    ],
)
def test_a_name_may_hold_a_comma(client: httpx.Client, asked: str, departments: set[str]) -> None:
    rows = client.get("/v1/households/products", params={"department": asked}).json()["data"]
    assert {row["department"] for row in rows} == departments


def test_names_may_be_repeated_and_each_must_be_known(client: httpx.Client) -> None:
    path = "/v1/households/products"
    twice = client.get(path, params={"department": ["GROCERY", "MEAT, FRESH"]}).json()
    assert twice == client.get(path, params={"department": 'GROCERY,"MEAT, FRESH"'}).json()
    found = problem(client.get(path, params={"department": "GROCERY,CARS"}), 422, "invalid-input")
    assert found["errors"][0]["detail"] == (
        "No department is called 'CARS'; there are: GROCERY, MEAT, FRESH."
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soup", ["soup"]), ("SOUP national", ["soup", "national"]), ("oup ATIO", ["oup", "atio"]),
        ("50%", ["50%"]), ("a_b", ["a_b"]), ("%", ["%"]), ("\\", ["\\"]), ("beef,", ["beef,"]),
        ("nothing like it", ["nothing like it"]),
    ],
)  # fmt: skip
def test_products_are_found_by_every_word(
    client: httpx.Client, text: str, words: list[str]
) -> None:
    path = "/v1/households/products"
    names = ("department", "commodity", "sub_commodity", "brand", "size")
    rows = client.get(path, params={"limit": 1000}).json()["data"]
    wanted = [
        row
        for row in rows
        if all(
            word in " ".join(row[name] for name in names if row[name] is not None).lower()
            for word in words
        )
    ]
    assert client.get(path, params={"text": text, "limit": 1000}).json()["data"] == wanted
    assert bool(wanted) == (text not in {"\\", "nothing like it"})


@pytest.mark.parametrize("text", ["", " ", "%00", "x " * 21])
def test_a_search_needs_words(client: httpx.Client, text: str) -> None:
    found = problem(client.get(f"/v1/households/products?text={text}"), 422, "invalid-input")
    assert [error["name"] for error in found["errors"]] == ["text"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br"])
def test_answers_are_compressed_but_not_small_ones(client: httpx.Client, encoding: str) -> None:
    path = "/v1/coupons?limit=1000"
    plain = client.get(path, headers=PLAIN)
    assert "content-encoding" not in plain.headers
    # From memory in between: what is kept is not what was sent.
    for asked in (encoding, "identity", encoding):
        answer = client.get(path, headers={"Accept-Encoding": asked})
        assert answer.json() == plain.json()
        assert answer.headers.get("content-encoding", "identity") == asked
        assert answer.headers["etag"] == plain.headers["etag"]
    small = client.get("/v1/coupons/2", headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in small.headers
    for headers in (CSV, NDJSON):
        whole = client.get("/v1/coupons", headers=headers | {"Accept-Encoding": encoding})
        assert whole.headers["content-encoding"] == encoding
        assert whole.text == client.get("/v1/coupons", headers=headers | PLAIN).text


def test_zstd_comes_before_gzip(client: httpx.Client) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}
    with client.stream("GET", "/v1/coupons?limit=1000", headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "zstd"
    assert json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(raw))["data"]


def test_counts_are_of_the_whole_list(client: httpx.Client) -> None:
    page = client.get("/v1/coupons?count=true&limit=2").json()
    assert page["count"] == len(client.get("/v1/coupons?limit=1000").json()["data"])
    after = client.get(f"/v1/coupons?count=true&limit=2&next={page['next']}").json()
    assert after["count"] == page["count"]
    assert "count" not in client.get("/v1/coupons").json()


def test_lists_come_while_others_are_sent(client: httpx.Client) -> None:
    """A whole list holds up neither the pages nor another whole list."""
    slowest = 0.0
    done = threading.Event()

    def read_big() -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as other:
            assert len(other.get(BIG, headers=NDJSON | PLAIN).text.splitlines()) == BIG_ROWS
        done.set()

    thread = threading.Thread(target=read_big)
    thread.start()
    while not done.is_set():
        started = time.monotonic()
        assert client.get("/v1/coupons?ids=1&count=true").status_code == 200
        slowest = max(slowest, time.monotonic() - started)
    thread.join()
    assert slowest < 1
