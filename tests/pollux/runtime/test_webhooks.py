"""Webhooks of releases: signed, in order, at least once; what a receiver that refuses them gets."""

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import standardwebhooks
from pydantic import ValidationError

from cli.commands.doctor import _webhooks
from orchestration.release import registry
from pollux.runtime import webhooks
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.webhooks import deliver, find_undelivered, read_webhooks
from tests.support.examples import read_page
from tests.support.programs import free_port, wait_for
from tests.support.receivers import SECRET, Received, Receiver, receiving

pytestmark = pytest.mark.integration

OTHER_SECRET = "whsec_" + "QUJD" * 8
ROWS = {"coupon_info": 120, "coupon_product": 4_000}


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> ServingStore:
    """A database that knows three releases of two domains."""
    store = open_serving_store(Settings(data_dir=short_tmp / "hooks"))
    with store.connect() as connection:
        registry.prepare_store(connection, store)
        for domain in ("store", "loyalty"):
            for number in (1, 2, 3):
                connection.execute(
                    "insert into release.releases (domain, number, engine, dbt_invocation, rows, "
                    "seconds) values (%s, %s, 'duckdb', '', 4120, 1)",
                    [domain, number],
                )
        for mart, rows in ROWS.items():
            counts = "insert into release.row_counts values ('store', 2, %s, %s)"
            connection.execute(counts, [mart, rows])
    return store


@pytest.fixture
def receiver(store: ServingStore) -> Iterator[Receiver]:
    with store.connect() as connection:
        connection.execute("truncate release.webhook_messages")
    with receiving() as one:
        yield one


def webhook(receiver: Receiver, **settings: str) -> webhooks.Webhook:
    given = {"release_webhooks": receiver.url, "release_webhook_secret": SECRET} | settings
    (found,) = read_webhooks(Settings.model_validate(given))
    return found


def switch(store: ServingStore, to: webhooks.Webhook, domain: str, number: int) -> None:
    with store.connect() as connection:
        registry.switch(connection, domain, number)
        webhooks.enter_messages(connection, [to], domain, "release.published")


def make_due(store: ServingStore) -> None:
    """As if the pause before the next attempt were over."""
    with store.connect() as connection:
        connection.execute("update release.webhook_messages set next_at = now()")


def told(received: list[Received]) -> list[tuple[str, int]]:
    found = [json.loads(one.body)["data"] for one in received]
    return [(one["domain"], one["number"]) for one in found]


def pauses(store: ServingStore) -> list[float]:
    with store.connect() as connection:
        rows = connection.execute(
            "select extract(epoch from next_at - clock_timestamp()) from release.webhook_messages "
            "where ended_at is null order by number"
        )
        return [float(seconds) for (seconds,) in rows]


def test_a_release_is_told_once_and_signed(
    store: ServingStore, receiver: Receiver, short_tmp: Path
) -> None:
    before = datetime.now(UTC)
    switch(store, webhook(receiver), "store", 2)
    deliver(store, webhook(receiver))
    deliver(store, webhook(receiver))
    (one,) = receiver.received
    assert one.path == "/hook?key=sesame"
    assert one.headers["content-type"] == "application/json"
    assert one.message_id.startswith("msg_")
    data = one.document.pop("data")
    assert one.document["type"] == "release.published"
    assert one.document["timestamp"] == data["switched_at"]
    assert datetime.fromisoformat(data.pop("switched_at")) > before
    assert before - datetime.fromisoformat(data.pop("released_at")) < timedelta(minutes=5)
    assert data == {"domain": "store", "number": 2, "rows": 4120, "marts": ROWS}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OTHER_SECRET).verify(one.body, one.headers)
    told = receiver.settings(Settings(data_dir=short_tmp / "hooks"))
    assert _webhooks(told) == (True, "every release was told")


def test_the_receiver_that_the_page_shows_reads_it(
    store: ServingStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = (one for one in read_page("docs/release.md") if one.kind == "python")
    shown: dict[str, Any] = {}
    exec(example.text, shown)
    switch(store, webhook(receiver), "store", 3)
    deliver(store, webhook(receiver))
    (one,) = receiver.received
    monkeypatch.setenv("POLLUX_RELEASE_WEBHOOK_SECRET", SECRET)
    assert shown["released"](one.body, one.headers)["number"] == 3
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        shown["released"](one.body.replace(b"store", b"stare"), one.headers)


def test_both_secrets_sign_while_one_replaces_the_other(
    store: ServingStore, receiver: Receiver
) -> None:
    both = webhook(receiver, release_webhook_secret=f"{OTHER_SECRET}, {SECRET}")
    switch(store, both, "loyalty", 1)
    deliver(store, both)
    (one,) = receiver.received
    for secret in (SECRET, OTHER_SECRET):
        found = standardwebhooks.Webhook(secret).verify(one.body, one.headers)
        assert found["data"]["marts"] == {}


def test_what_was_refused_is_told_again_before_what_follows(
    store: ServingStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    to = webhook(receiver)
    receiver.statuses = [500, 200, 503]
    switch(store, to, "store", 1)
    deliver(store, to)
    switch(store, to, "loyalty", 1)
    deliver(store, to)
    # The first of the store waits; news of the store makes it due.
    assert told(receiver.received) == [("store", 1), ("loyalty", 1)]
    switch(store, to, "store", 2)
    deliver(store, to)
    assert told(receiver.received)[2:] == [("store", 1)]
    assert 5 < pauses(store)[0] <= 10
    make_due(store)
    deliver(store, to)
    assert told(receiver.received)[3:] == [("store", 1), ("store", 2)]
    first = {one.message_id for one in receiver.received if one.number == 1}
    assert len(first) == 2
    assert len({one.body for one in receiver.received}) == 3
    assert f"at {to.host} was not told of a release: it answers 500; tried again in 5 s" in (
        caplog.text
    )
    assert "it answers 503; tried again in 10 s" in caplog.text
    assert "sesame" not in caplog.text


def test_a_receiver_that_is_gone_is_told_nothing_more_of_it(
    store: ServingStore, receiver: Receiver, caplog: pytest.LogCaptureFixture, short_tmp: Path
) -> None:
    to = webhook(receiver)
    receiver.statuses = [410]
    switch(store, to, "store", 1)
    switch(store, to, "store", 2)
    deliver(store, to)
    assert told(receiver.received) == [("store", 1), ("store", 2)]
    assert "it answers 410: take its URL out of POLLUX_RELEASE_WEBHOOKS; it is given up" in (
        caplog.text
    )
    is_fine, text = _webhooks(receiver.settings(Settings(data_dir=short_tmp / "hooks")))
    assert is_fine is False
    assert text.startswith("messages waiting: 0, given up: 1, the first of 20")
    assert text.endswith("it answers 410: take its URL out of POLLUX_RELEASE_WEBHOOKS")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(
    store: ServingStore, receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = status
    switch(store, webhook(receiver), "store", 1)
    deliver(store, webhook(receiver))
    assert [one.path for one in receiver.received] == ["/hook?key=sesame"]
    assert f"it answers {status}, which is elsewhere; redirects are not followed" in caplog.text
    assert len(pauses(store)) == 1


def test_one_that_cannot_be_reached_is_given_up_after_three_days(
    store: ServingStore, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}/sesame"
    to = webhook(receiver, release_webhooks=url)
    switch(store, to, "store", 1)
    for _ in range(12):
        make_due(store)
        deliver(store, to)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    reached = f"The webhook at {to.host} was not told of a release: it cannot be reached ("
    assert all(message.startswith(f"{reached}Connection refused)") for message in told)
    seconds = [int(message.rpartition("again in ")[2].removesuffix(" s")) for message in told]
    assert seconds == [min(5 * 2**number, 3600) for number in range(12)]
    for hours, left in ((71, 1), (73, 0)):
        with store.connect() as connection:
            age = (
                "update release.webhook_messages set created_at = now() - make_interval(hours=>%s)"
            )
            connection.execute(age, [hours])
        make_due(store)
        deliver(store, to)
        assert len(pauses(store)) == left


def test_a_tls_connection_that_ends_early_is_named(
    store: ServingStore,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """urllib passes on what fails after the request as it is, with a reason of OpenSSL's own."""

    def end(*_: object, **__: object) -> None:
        raise ssl.SSLEOFError(8, "EOF occurred in violation of protocol")

    monkeypatch.setattr(webhooks.OPENER, "open", end)
    switch(store, webhook(receiver), "store", 1)
    deliver(store, webhook(receiver))
    assert "it cannot be reached (EOF occurred in violation of protocol)" in caplog.text


def test_what_a_killed_process_had_told_is_told_again_with_its_id(
    store: ServingStore, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = webhook(receiver)
    switch(store, to, "store", 3)

    def end(name: str) -> None:
        raise SystemExit(name)

    monkeypatch.setattr(webhooks, "step", end)
    with pytest.raises(SystemExit, match=r"webhook\.posted"):
        deliver(store, to)
    monkeypatch.undo()

    def is_told_again() -> bool:
        deliver(store, to)
        return len(receiver.received) == 2

    # The server may not have noticed yet that the first is gone.
    wait_for(is_told_again)
    first, second = receiver.received
    assert first.message_id == second.message_id
    assert first.document == second.document


def test_two_processes_do_not_tell_the_same(store: ServingStore, receiver: Receiver) -> None:
    to = webhook(receiver)
    receiver.answers.clear()
    switch(store, to, "store", 1)
    other = threading.Thread(target=deliver, args=(store, to))
    other.start()
    receiver.wait(1)
    deliver(store, to)
    assert len(receiver.received) == 1
    receiver.answers.set()
    other.join()
    deliver(store, to)
    assert len(receiver.received) == 1


def test_without_a_release_nothing_is_told(short_tmp: Path, store: ServingStore) -> None:
    with store.connect(autocommit=True) as connection:
        connection.execute("create database unreleased")
    url = store.owner_url.replace("/pollux?", "/unreleased?")
    empty = ServingStore(url, url, store.reader_role, None, None)
    with receiving() as receiver:
        deliver(empty, webhook(receiver))
        with psycopg.connect(url, autocommit=True) as connection:
            assert find_undelivered(connection, [webhook(receiver)]).waiting == 0
        assert receiver.received == []


@pytest.mark.parametrize(
    ("urls", "secret", "message"),
    [
        ("shop.example/sesame", SECRET, "must be URLs such as https://shop.example/hook"),
        ("https://shop.example,", SECRET, "separated by commas"),
        ("ftp://shop.example/sesame", SECRET, "must be URLs"),
        ("https://user:sesame@shop.example", SECRET, "without user and password"),
        ("https://shop.example:port/sesame", SECRET, "must be URLs"),
        ("https://shop.example/two words", SECRET, "must be URLs"),
        ("https://shop.example/sesame", None, "must be set, too, where POLLUX_RELEASE_WEBHOOKS is"),
        (
            "https://shop.example",
            "sesame",
            "must be whsec_ and the base64 of 24 to 64 random bytes",
        ),
        ("https://shop.example", SECRET.removeprefix("whsec_"), "must be whsec_ and"),
        ("https://shop.example", "whsec_" + "QUJD" * 7, "24 to 64 random bytes"),
        ("https://shop.example", "whsec_" + "QUJD" * 22, "24 to 64 random bytes"),
        ("https://shop.example", SECRET + "!", "must be whsec_ and"),
        ("https://shop.example", f"{SECRET},", "must be whsec_ and"),
    ],
)
def test_settings_that_cannot_work_are_refused(urls: str, secret: str | None, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"release_webhooks": urls, "release_webhook_secret": secret})
    assert len(raised.value.errors()) == 1
    assert message in raised.value.errors()[0]["msg"]
    assert "sesame" not in str(raised.value)


def test_the_same_url_twice_is_told_once() -> None:
    one, other = "https://shop.example/a", "http://[::1]:8080/b"
    found = read_webhooks(
        Settings.model_validate(
            {"release_webhooks": f"{one}, {other},{one}", "release_webhook_secret": SECRET}
        )
    )
    assert [each.url for each in found] == [one, other]
    assert read_webhooks(Settings()) == []
