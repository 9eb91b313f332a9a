"""Webhooks that tell of a release, signed as Standard Webhooks (https://www.standardwebhooks.com).

Belongs here: the messages that wait in `release.webhook_messages`, a row per message and receiver,
and sending them. Does not belong here: what a message says (`release_documents`).

The transaction that switches a release enters its messages, so that none is lost and no receiver
can hold up a release. The process that switched sends them, without waiting; the event service
sends what is left, again and again, and so does the next release. A receiver gets the messages of
a domain in their order, and each at least once, always with the same id.
"""

import atexit
import base64
import hashlib
import hmac
import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from pollux.runtime.locks import KEEPALIVES, LockSpace
from pollux.runtime.release_documents import RELEASE_DOCUMENTS
from pollux.runtime.serving import ServingStore, ServingStoreError
from pollux.runtime.settings import SECRET_PREFIX, Settings
from pollux.runtime.steps import step

POST_SECONDS = 10
# Between attempts: the first pause, doubled each time up to the longest.
FIRST_PAUSE_SECONDS = 5
LONGEST_PAUSE_SECONDS = 3600
GIVEN_UP_AFTER = "3 days"
KEPT_FOR = "30 days"
LOOK_SECONDS = 5.0
# How long a process that made a release waits at its own end for a receiver that is slow to answer.
LINGER_SECONDS = 1.0

TABLE = """
create table if not exists release.webhook_messages (
    number bigint generated always as identity primary key,
    message_id text not null unique,
    -- A hash of the URL, which may hold a secret.
    receiver text not null,
    domain text not null,
    body text not null,
    created_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_at timestamptz not null default now(),
    problem text,
    ended_at timestamptz,
    is_delivered boolean not null default false
);
"""
# Either may come first: the first release makes the table, the first event service its role.
CAN_GRANT = """
select to_regclass('release.webhook_messages') is not null and to_regrole(%s) is not null
"""
ENTER = f"""
insert into release.webhook_messages (message_id, receiver, domain, body)
select
    'msg_' || replace(gen_random_uuid()::text, '-', ''),
    receiver,
    domain,
    json_build_object('type', %(type)s::text, 'timestamp', switched_at, 'data', document)::text
from ({RELEASE_DOCUMENTS}) as told
cross join unnest(%(receivers)s::text[]) as receiver
where domain = %(domain)s
"""
# What waits behind a receiver that was away is due as soon as there is news for it.
HURRY = """
update release.webhook_messages set next_at = now()
where receiver = any(%(receivers)s::text[]) and domain = %(domain)s and ended_at is null
"""
NEXT = """
select message.number, message.message_id, message.body, message.attempts
from release.webhook_messages as message
where
    message.receiver = %s
    and message.ended_at is null
    and message.next_at <= clock_timestamp()
    and not exists (
        select
        from release.webhook_messages as earlier
        where
            earlier.receiver = message.receiver
            and earlier.domain = message.domain
            and earlier.ended_at is null
            and earlier.number < message.number
    )
order by message.number
limit 1
"""
DELIVERED = """
update release.webhook_messages
set attempts = attempts + 1, problem = null, ended_at = clock_timestamp(), is_delivered = true
where number = %s
"""
FAILED = f"""
update release.webhook_messages
set
    attempts = attempts + 1,
    problem = %(problem)s,
    next_at = clock_timestamp() + make_interval(secs => %(pause)s),
    ended_at = case
        when %(is_gone)s or created_at < clock_timestamp() - interval '{GIVEN_UP_AFTER}'
        then clock_timestamp()
    end
where number = %(number)s
returning ended_at is not null
"""
FORGET = f"""
delete from release.webhook_messages where created_at < now() - interval '{KEPT_FOR}'
"""
WAITING = """
select
    count(*) filter (where ended_at is null) as waiting,
    count(*) filter (where ended_at is not null and not is_delivered) as given_up,
    (array_agg(problem order by number desc) filter (where problem is not null))[1] as problem,
    min(created_at) filter (where not is_delivered) as since
from release.webhook_messages
where receiver = any(%s)
"""
# The first release makes the tables.
NOT_MADE = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)

log = logging.getLogger("pollux.webhooks")


class Webhook(NamedTuple):
    """A receiver: its URL, and the secrets that sign what it is sent."""

    url: str
    secrets: Sequence[bytes]

    @property
    def receiver(self) -> str:
        """What stands for the URL in the database."""
        return hashlib.sha256(self.url.encode()).hexdigest()

    @property
    def host(self) -> str:
        """The part of the URL that is no secret."""
        return urlsplit(self.url).netloc


class WaitingMessage(NamedTuple):
    """A message that is due."""

    number: int
    message_id: str
    body: str
    attempts: int


class Undelivered(NamedTuple):
    """How many messages wait and how many were given up, why, and since when."""

    waiting: int
    given_up: int
    problem: str | None
    since: datetime | None


def read_webhooks(settings: Settings) -> list[Webhook]:
    """The receivers of the settings, which have been checked; empty where none is set."""
    if settings.release_webhooks is None or settings.release_webhook_secret is None:
        return []
    secrets = [
        base64.b64decode(secret.strip().removeprefix(SECRET_PREFIX))
        for secret in settings.release_webhook_secret.get_secret_value().split(",")
    ]
    urls = settings.release_webhooks.get_secret_value().split(",")
    return [Webhook(url, secrets) for url in dict.fromkeys(url.strip() for url in urls)]


def enter_messages(
    connection: psycopg.Connection, webhooks: Sequence[Webhook], domain: str, kind: str
) -> None:
    """Enters a message of type `kind` about the current release of a domain for each receiver.

    The caller commits, together with the switch that the message tells of.
    """
    if webhooks:
        told = {"receivers": [one.receiver for one in webhooks], "domain": domain, "type": kind}
        connection.execute(HURRY, told)
        connection.execute(ENTER, told)


def grant_delivery(connection: psycopg.Connection, role: str) -> None:
    """Lets the event service's role send what waits, where role and messages are there."""
    if connection.execute(CAN_GRANT, [sql.Identifier(role).as_string()]).fetchone() == (True,):
        grant = "grant usage on schema release to {role}; "
        grant += "grant select, update, delete on release.webhook_messages to {role}"
        connection.execute(sql.SQL(grant).format(role=sql.Identifier(role)))


def signed_headers(webhook: Webhook, message_id: str, moment: int, body: bytes) -> dict[str, str]:
    """The headers of a message sent at `moment`, in seconds since 1970."""
    content = f"{message_id}.{moment}.".encode() + body
    signatures = (hmac.digest(secret, content, "sha256") for secret in webhook.secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": f"pollux/{version('pollux')}",
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }


def deliver(store: ServingStore, webhook: Webhook) -> None:
    """Sends all that is due to one receiver, unless another process does so at this moment.

    Where the database cannot be reached, it does nothing: the messages wait there.
    """
    _deliver(store.connect, webhook)


def _deliver(connect: Callable[..., psycopg.Connection], webhook: Webhook) -> None:
    with suppress(psycopg.Error, ServingStoreError), connect(autocommit=True) as connection:
        for name, value in KEEPALIVES.items():
            connection.execute("select set_config(%s, %s, false)", [name, value])
        lock = "select pg_try_advisory_lock(%s, hashtext(%s))"
        if connection.execute(lock, [LockSpace.WEBHOOKS, webhook.receiver]).fetchone() != (True,):
            return
        while (message := _next(connection, webhook)) is not None:
            _send(connection, webhook, message)
        connection.execute(FORGET)


def deliver_soon(store: ServingStore, webhooks: Sequence[Webhook]) -> None:
    """Begins to send what is due, in threads: the caller goes on at once.

    At its own end the process waits a second at most for receivers that did not answer yet.
    """
    threads = [
        threading.Thread(target=deliver, args=(store, webhook), daemon=True) for webhook in webhooks
    ]
    for thread in threads:
        thread.start()
    if threads:
        atexit.register(_linger, threads)


def keep_delivering(
    store: ServingStore, webhook: Webhook, news: threading.Event, ended: threading.Event
) -> None:
    """Sends what is due, at any `news` and every few seconds, until `ended` (then set `news`).

    With the rights of the event service.
    """
    while not ended.is_set():
        news.clear()
        _deliver(store.connect_events, webhook)
        news.wait(LOOK_SECONDS)


def find_undelivered(connection: psycopg.Connection, webhooks: Sequence[Webhook]) -> Undelivered:
    """What the receivers were not told; `connection` is in autocommit."""
    with connection.cursor(row_factory=class_row(Undelivered)) as cursor, suppress(*NOT_MADE):
        cursor.execute(WAITING, [[one.receiver for one in webhooks]])
        if (found := cursor.fetchone()) is not None:
            return found
    return Undelivered(0, 0, None, None)


def _next(connection: psycopg.Connection, webhook: Webhook) -> WaitingMessage | None:
    with connection.cursor(row_factory=class_row(WaitingMessage)) as cursor:
        return cursor.execute(NEXT, [webhook.receiver]).fetchone()


def _send(connection: psycopg.Connection, webhook: Webhook, message: WaitingMessage) -> None:
    body = message.body.encode()
    headers = signed_headers(webhook, message.message_id, int(time.time()), body)
    problem, is_gone = _post(webhook.url, headers, body)
    step("webhook.posted")
    if problem is None:
        connection.execute(DELIVERED, [message.number])
        return
    pause = min(FIRST_PAUSE_SECONDS * 2**message.attempts, LONGEST_PAUSE_SECONDS)
    (is_given_up,) = connection.execute(
        FAILED,
        {"number": message.number, "problem": problem, "pause": pause, "is_gone": is_gone},
    ).fetchone() or (True,)
    then = "it is given up" if is_given_up else f"tried again in {pause} s"
    log.warning("The webhook at %s was not told of a release: %s; %s", webhook.host, problem, then)


def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[str | None, bool]:
    """Why a message was not taken, None if it was; and whether the receiver wants no more."""
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - checked
    try:
        with OPENER.open(request, timeout=POST_SECONDS):
            return None, False
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.GONE:
            return "it answers 410: take its URL out of POLLUX_RELEASE_WEBHOOKS", True
        is_redirect = HTTPStatus.MULTIPLE_CHOICES <= error.code < HTTPStatus.BAD_REQUEST
        elsewhere = ", which is elsewhere; redirects are not followed" if is_redirect else ""
        return f"it answers {error.code}{elsewhere}", False
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Without the text of others, which may show the URL.
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        words = reason.strerror if isinstance(reason, OSError) else None
        return f"it cannot be reached ({words or type(reason).__name__})", False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What a release says goes to the receiver that was named, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the redirect is an error."""


OPENER = urllib.request.build_opener(_NoRedirects)


def _linger(threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + LINGER_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
