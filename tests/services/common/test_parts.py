"""The parts that services share, each on its own."""

import asyncio
import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.answers import Answer, AnswersInMemory, KeptPerRelease, matches
from services.common.api_keys import ApiKeysError, check_address, read_hashes
from services.common.database import connection_arguments
from services.common.lookups import MAX_KEYS, Lookups
from services.common.paging import page, read_next, write_next
from services.common.problems import ProblemError
from services.common.releases import Release

BIGINT = st.integers(min_value=-(2**63), max_value=2**63 - 1)
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**16)
HASH = hashlib.sha256(b"key").hexdigest()


@given(st.text(max_size=40), MONEY, BIGINT)
def test_next_tells_where_the_next_page_starts(binding: str, money: Decimal, key: int) -> None:
    token = write_next(binding, [str(money), str(key)])
    assert token.isascii()
    assert read_next(binding, token, [Decimal, int]) == (money, key)
    with pytest.raises(ProblemError):
        read_next(binding + " ", token, [Decimal, int])
    with pytest.raises(ProblemError):
        read_next(binding, token, [int])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(
    st.text(max_size=40),
    st.none() | st.dates(),
    TEXT,
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_next_tells_days_and_texts_and_what_is_missing(
    binding: str, day: date | None, text: str, number: float
) -> None:
    keys = [None if day is None else day.isoformat(), text, repr(number)]
    token = write_next(binding, keys)
    kinds = [date, str, float]
    found = read_next(binding, token, kinds, first_may_be_null=True)
    assert found == (day, text, number)
    if day is None:
        with pytest.raises(ProblemError):
            read_next(binding, token, kinds)


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        (["2022-02-30"], [date]), (["x"], [date]), ([None], [date]), (["a\0b"], [str]),
        ([None], [str]), (["nan"], [float]), (["inf"], [float]), (["1e999"], [float]),
        (["x" * 8000], [str]), ([None, None], [date, int]), ([None], [date, int]),
    ],
)  # fmt: skip
def test_forged_days_and_texts_are_refused(keys: Any, kinds: list[type]) -> None:
    with pytest.raises(ProblemError):
        read_next("list", write_next("list", keys), kinds, first_may_be_null=len(kinds) > 1)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.hex()))
def test_any_other_text_is_no_next(token: str) -> None:
    with pytest.raises(ProblemError):
        read_next("list", token, [int])


@pytest.mark.parametrize(
    "keys",
    [["x"], ["1", "2"], [], [str(2**63)], ["1" * 41], ["1.5"], [" 1 ", ""], [None], [[1]], 7],
)
def test_a_forged_next_is_refused(keys: Any) -> None:
    if isinstance(keys, list):
        token = write_next("list", keys)
        with pytest.raises(ProblemError):
            read_next("list", token, [int])


@pytest.mark.parametrize("key", ["NaN", "Infinity", "-Infinity", "sNaN", "1e", "0x1"])
def test_a_forged_amount_is_refused(key: str) -> None:
    with pytest.raises(ProblemError):
        read_next("list", write_next("list", [key]), [Decimal])


def test_a_page_is_json() -> None:
    assert page([], None) == b'{"data":[],"next":null}'
    assert page(['{"a":1}', '{"a":2}'], "x") == b'{"data":[{"a":1},{"a":2}],"next":"x"}'


def _answer(number: int, size: int = 100) -> tuple[Release, Answer]:
    release = Release("household", number, None, "")
    return release, Answer(release, b"x" * size)


def test_memory_is_bounded_and_forgets_the_least_used() -> None:
    memory = AnswersInMemory(limit=10_000)
    release, answer = _answer(1)
    for key in range(100):
        memory.put(str(key).encode(), release, answer, "/")
        memory.get(b"0")
        assert memory.size <= 10_000
    assert memory.get(b"0") is not None
    assert memory.get(b"99") is not None
    assert memory.get(b"1") is None
    assert len(memory) < 20


def test_memory_takes_no_giants_and_counts_a_key_once() -> None:
    memory = AnswersInMemory(limit=10_000)
    memory.put(b"big", *_answer(1, 2_000), "/")
    assert len(memory) == 0
    memory.put(b"key", *_answer(1, 100), "/")
    size = memory.size
    memory.put(b"key", *_answer(2, 100), "/")
    assert (memory.size, len(memory)) == (size, 1)
    memory.drop(b"key")
    memory.drop(b"key")
    assert memory.size == 0


def test_no_memory_keeps_nothing() -> None:
    memory = AnswersInMemory(limit=0)
    memory.put(b"key", *_answer(1, 0), "/")
    assert len(memory) == 0


def test_memory_forgets_releases_that_are_not_current() -> None:
    memory = AnswersInMemory(limit=10_000)
    old, current = _answer(1), _answer(2)
    memory.put(b"old", *old, "/")
    memory.put(b"current", *current, "/")
    memory.keep_only({"household": current[0]})
    assert memory.get(b"old") is None
    assert memory.get(b"current") is not None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], False),
        ([b'"{}"'], True),
        ([b'W/"{}"'], True),
        ([b'"a", W/"b" ,"{}"'], True),
        ([b'"a"', b'"{}"'], True),
        ([b"*"], True),
        ([b" * "], True),
        ([b"{}"], False),
        ([b'"{}x"'], False),
        ([b'"*"'], False),
        ([b'"'], False),
        ([b""], False),
    ],
)
def test_tags_are_compared_weakly(sent: list[bytes], expected: bool) -> None:
    release = Release("household", 3, None, "")
    tag = release.etag.strip('"').encode()
    headers = [(b"if-none-match", value.replace(b"{}", tag)) for value in sent]
    assert matches({"headers": headers}, release) is expected


def test_tags_differ_by_release_moment_and_edition() -> None:
    moments = [datetime(2026, 1, 1, 0, 0, 0, microsecond, UTC) for microsecond in (0, 1)]
    tags = {
        Release("household", number, moment, edition).etag
        for number in (1, 2)
        for moment in moments
        for edition in ("a", "b")
    }
    assert len(tags) == 8


@pytest.mark.parametrize("keys", ["x", HASH[:-1], HASH + "0", f"{HASH},key", "g" * 64, f"{HASH};"])
def test_what_is_no_hash_is_refused(keys: str) -> None:
    with pytest.raises(ApiKeysError, match="sha256sum"):
        read_hashes(Settings(api_keys=keys))


def test_hashes_are_read() -> None:
    other = hashlib.sha256(b"other").hexdigest()
    settings = Settings(api_keys=f" {HASH} , {other.upper()},")
    assert [one.hex() for one in read_hashes(settings)] == [HASH, other]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_a_loopback_address_needs_no_keys(host: str) -> None:
    check_address(Settings(), host, "POLLUX_API_HOST")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.example.org"])
def test_another_address_needs_keys(host: str) -> None:
    with pytest.raises(ApiKeysError, match="POLLUX_API_KEYS"):
        check_address(Settings(api_keys=" , "), host, "POLLUX_API_HOST")


def test_libpq_urls_become_arguments_of_asyncpg() -> None:
    url = SecretStr(
        "postgresql://me:p%40ss@db.example.org:5433/shop?sslmode=require&connect_timeout=5"
        "&keepalives=1&options=-c%20search_path%3Dx"
    ).get_secret_value()
    dsn, session = connection_arguments(ServingStore(url, url, "reader", "reader", None))
    for part in ("user=me", "password=p%40ss", "host=db.example.org", "port=5433", "dbname=shop",
                 "sslmode=require"):  # fmt: skip
        assert part in dsn
    assert "keepalives" not in dsn
    assert "connect_timeout" not in dsn
    assert session["options"] == "-c search_path=x"
    assert session["role"] == "reader"
    assert session["jit"] == "off"


class Asked:
    """Stands for the database: even keys are there; remembers what was asked."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, list[int]]] = []
        self.error: Exception | None = None

    async def __call__(self, sql: str, keys: list[int]) -> list[tuple[int, str]]:
        self.queries.append((sql, keys))
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return [(key, f"{sql}{key}") for key in reversed(keys) if key % 2 == 0]


def test_lookups_go_together_and_each_gets_its_own() -> None:
    asked = Asked()

    async def look_up() -> list[str | None]:
        lookups = Lookups(asked)
        keys = [key for key in range(300) for _ in range(2)]
        sqls = ["a", "b"] * 300
        return await asyncio.gather(*map(lookups.find, sqls, keys))

    found = asyncio.run(look_up())
    expected = [f"{sql}{key}" if key % 2 == 0 else None for key in range(300) for sql in "ab"]
    assert found == expected
    assert len(asked.queries) < 20
    assert max(len(keys) for _, keys in asked.queries) == MAX_KEYS
    for sql in "ab":
        keys = [key for name, some in asked.queries if name == sql for key in some]
        assert sorted(keys) == list(range(300))


def test_a_lookup_never_gets_a_row_read_before_it_was_asked_for() -> None:
    asked = Asked()

    async def look_up() -> None:
        lookups = Lookups(asked)
        first = asyncio.create_task(lookups.find("a", 2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asked.queries) == 1
        await asyncio.gather(first, lookups.find("a", 2))
        assert len(asked.queries) == 2

    asyncio.run(look_up())


def test_a_failed_lookup_fails_those_who_asked_and_nobody_later() -> None:
    asked = Asked()

    async def look_up() -> None:
        lookups = Lookups(asked)
        asked.error = ValueError("down")
        results = await asyncio.gather(
            *(lookups.find("a", key) for key in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [ValueError] * 3
        asked.error = None
        assert await lookups.find("a", 2) == "a2"

    asyncio.run(look_up())


def test_who_stops_waiting_for_a_lookup_stops_nobody_else() -> None:
    asked = Asked()

    async def look_up() -> None:
        lookups = Lookups(asked)
        impatient, patient = (asyncio.create_task(lookups.find("a", 2)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == "a2"
        assert impatient.cancelled()

    asyncio.run(look_up())


class Standing:
    """Stands for the answers of a domain whose current release the test changes."""

    def __init__(self) -> None:
        self.watcher = self
        self.release = Release("customer", 1, None, "")
        self.readings = 0
        self.error: Exception | None = None

    async def current(self, _domain: str) -> Release:
        return self.release

    async def read(self, _domain: str, _read: Any) -> tuple[Release, int]:
        release = self.release
        self.readings += 1
        await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return release, release.number


def _kept(standing: Standing) -> KeptPerRelease[int]:
    answers: Any = standing
    read: Any = None
    return KeptPerRelease(answers, "customer", read)


def test_what_is_kept_per_release_is_made_once_of_each() -> None:
    standing = Standing()

    async def ask() -> None:
        kept = _kept(standing)
        found = await asyncio.gather(*(kept.current() for _ in range(20)))
        assert {number for _, number in found} == {1}
        await kept.current()
        assert standing.readings == 1
        standing.release = Release("customer", 2, None, "")
        assert (await kept.current())[1] == 2
        assert standing.readings == 2

    asyncio.run(ask())


def test_a_release_that_comes_while_another_is_read_is_read_too() -> None:
    standing = Standing()

    async def ask() -> None:
        kept = _kept(standing)
        asking = asyncio.create_task(kept.current())
        await asyncio.sleep(0.002)
        standing.release = Release("customer", 2, None, "")
        assert (await asking)[1] == 2

    asyncio.run(ask())


def test_a_failed_reading_is_tried_again_and_a_cancelled_wait_harms_nobody() -> None:
    standing = Standing()

    async def ask() -> None:
        kept = _kept(standing)
        standing.error = ValueError("down")
        found = await asyncio.gather(*(kept.current() for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [ValueError] * 3
        standing.error = None
        impatient, patient = (asyncio.create_task(kept.current()) for _ in range(2))
        await asyncio.sleep(0.002)
        impatient.cancel()
        assert (await patient)[1] == 1
        assert impatient.cancelled()
        assert standing.readings == 2

    asyncio.run(ask())
