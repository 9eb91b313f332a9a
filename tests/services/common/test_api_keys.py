"""Keys and their scopes at every route of every service, as the OpenAPI documents name them."""

import asyncio
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from pollux.runtime.keys import (
    KeyScope,
    KeysFileError,
    add_key,
    keys_file,
    last_used,
    revoke_key,
    rotate_key,
)
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.common import api_keys, key_limits
from services.common.scopes import guard
from services.events import answering
from services.openapi.documents import apps, documents
from services.scoring.app import create_app as create_scorer
from tests.services.api.support import client_of, problem, wait_until, within_a_second

# What is asked of a service answers without it: with keys alone, 503 is as good as 200.
NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
OPEN = {"/", "/healthz", "/readyz"}
SERVICES = ("api", "scoring", "events")


@pytest.fixture(autouse=True)
def not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an app that is not started, nobody waits for the database."""
    monkeypatch.setattr(answering, "SECONDS", 0.01)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=NOWHERE, api_keys="", scoring_url=None)


def operations(service: str) -> Iterator[tuple[str, str, str | None]]:
    """Method, path with something in place of each parameter, and the scope that is described."""
    for path, methods in documents()[service]["paths"].items():
        for method, operation in methods.items():
            security = operation.get("security")
            assert security is None or [len(one) for one in security] == [1]
            scopes = None if security is None else security[0]["key"]
            assert scopes is None or len(scopes) == 1
            yield method.upper(), re.sub(r"\{\w+\}", "1", path), scopes and scopes[0]


def sent(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def answers(app: FastAPI, requests: list[tuple[str, str, str | None]]) -> list[httpx.Response]:
    """The answers of an app that is not started to method, path and key, in their order."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                await client.request(method, path, headers=sent(key))
                for method, path, key in requests
            ]

    return asyncio.run(ask())


def test_every_scope_opens_something_and_every_route_is_named() -> None:
    found = [needs for service in SERVICES for _, _, needs in operations(service)]
    assert {needs for needs in found if needs} == {scope.value for scope in KeyScope}
    assert found.count(None) == len(SERVICES) * len(OPEN)


@pytest.mark.parametrize("service", SERVICES)
def test_each_route_takes_the_keys_with_its_scope_and_no_other(
    settings: Settings, service: str
) -> None:
    keys = {scope.value: add_key(settings, scope.replace(":", "-"), [scope]) for scope in KeyScope}
    app = apps(settings)[service]
    cases = [(*one, scope) for one in operations(service) for scope in [None, *keys]]
    requests = [(method, path, scope and keys[scope]) for method, path, _, scope in cases]
    for (method, path, needs, scope), answer in zip(cases, answers(app, requests), strict=True):
        case = f"{method} {path} with {scope}"
        if path in OPEN or scope == needs:
            # 404 and the like come after the check of the key; so do 415 and 422.
            assert answer.status_code not in {401, 403, 429}, case
        elif scope is None:
            problem(answer, 401, "key-required")
        else:
            found = problem(answer, 403, "scope-missing")
            assert (
                f"needs the scope {needs}. The key {scope.replace(':', '-')} has "
                in (found["detail"])
            ), case
            assert f'scope="{needs}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("service", SERVICES)
def test_without_keys_every_route_is_open(settings: Settings, service: str) -> None:
    requests = [(method, path, None) for method, path, _ in operations(service)]
    for answer in answers(apps(settings)[service], requests):
        assert answer.status_code not in {401, 403, 429}


@pytest.mark.parametrize("service", SERVICES)
def test_keys_of_the_settings_open_everything(settings: Settings, service: str) -> None:
    own = settings.model_copy(update={"api_keys": hashlib.sha256(b"own").hexdigest()})
    paths = [(method, path) for method, path, _ in operations(service)]
    for key, refused in (("own", False), ("other", True)):
        app = apps(own)[service]
        # One wrong key is enough: they are answered late.
        asked = [one for one in paths if one[1] not in OPEN][: 1 if refused else None]
        for answer in answers(app, [(*one, key) for one in asked]):
            assert (answer.status_code == 401) == refused
            assert answer.status_code != 403


def test_a_route_that_names_no_scope_cannot_be_served() -> None:
    router = APIRouter()
    router.add_api_route("/v1/secrets", lambda: None)
    with pytest.raises(TypeError, match="/v1/secrets needs no scope"):
        guard(router)


@pytest.fixture
def services(settings: Settings) -> Iterator[list[httpx.Client]]:
    """Two APIs and a scorer, running without database and model, with a key that stays."""
    add_key(settings, "first", [KeyScope.ACCOUNTS_READ])
    made: list[Callable[[Settings], FastAPI]] = [create_app, create_app, create_scorer]
    with (
        client_of(made[0](settings)) as one,
        client_of(made[1](settings)) as other,
        client_of(made[2](settings)) as scorer,
    ):
        yield [one, other, scorer]


def status(client: httpx.Client, key: str | None) -> int:
    return client.get("/metrics", headers=sent(key)).status_code


def demand_within_a_second(services: list[httpx.Client], key: str, wanted: int) -> None:
    """Every service answers so within a second of the change, and stays with it."""
    changed = time.monotonic()
    for client in services:
        within_a_second(changed, lambda client=client: status(client, key) == wanted)
    assert [status(client, key) for client in services] == [wanted] * len(services)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_limits, "LONGEST_WAIT", 0.0)


@pytest.mark.usefixtures("at_once")
def test_running_services_see_a_change_within_a_second(
    settings: Settings, services: list[httpx.Client]
) -> None:
    assert [status(client, None) for client in services] == [401] * 3
    key = add_key(settings, "prometheus", [KeyScope.METRICS])
    demand_within_a_second(services, key, 200)
    new = rotate_key(settings, "prometheus")
    demand_within_a_second(services, new, 200)
    demand_within_a_second(services, key, 401)
    newer = rotate_key(settings, "prometheus", overlap_minutes=1)
    demand_within_a_second(services, newer, 200)
    demand_within_a_second(services, new, 200)
    revoke_key(settings, "prometheus")
    demand_within_a_second(services, newer, 401)
    demand_within_a_second(services, new, 401)


def test_the_first_key_closes_services_that_run(settings: Settings) -> None:
    with client_of(create_app(settings)) as client:
        assert status(client, None) == 200
        key = add_key(settings, "app", [KeyScope.SCORE])
        demand_within_a_second([client], key, 403)
        assert status(client, None) == 401
        # Nothing opens them again: not the last key that goes, nor the file.
        revoke_key(settings, "app")
        time.sleep(2 * api_keys.LOOK_SECONDS)
        assert status(client, None) == 401
        keys_file(settings).unlink()
        time.sleep(2 * api_keys.LOOK_SECONDS)
        assert status(client, None) == 401
        again = add_key(settings, "app", [KeyScope.METRICS])
        demand_within_a_second([client], again, 200)


def test_keys_stay_as_they_were_while_their_file_cannot_be_read(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS])
    with client_of(create_app(settings)) as client:
        for text in ("{", '{"format": 2}'):
            keys_file(settings).write_text(text)
            time.sleep(2 * api_keys.LOOK_SECONDS)
            for _ in range(2):
                assert status(client, key) == 200
                time.sleep(1.1 * api_keys.LOOK_SECONDS)
        errors = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
        assert len(errors) == 2
        assert all("stay as they were" in error for error in errors)
        keys_file(settings).unlink()
        new = add_key(settings, "other", [KeyScope.METRICS])
        demand_within_a_second([client], new, 200)


def test_a_file_that_cannot_be_read_keeps_a_service_from_starting(settings: Settings) -> None:
    settings.keys_dir.mkdir()
    keys_file(settings).write_text("{")
    with pytest.raises(KeysFileError, match="Restore it"):
        create_app(settings)


def test_a_file_of_keys_is_enough_for_any_address(settings: Settings) -> None:
    add_key(settings, "app", [KeyScope.METRICS])
    create_app(settings.model_copy(update={"api_host": "0.0.0.0"}))


@pytest.mark.usefixtures("at_once")
def test_a_key_ends_when_it_expires(settings: Settings) -> None:
    lasting = timedelta(seconds=1.5)
    # It begins between the two.
    earliest = datetime.now(UTC)
    key = add_key(settings, "app", [KeyScope.METRICS], days=lasting / timedelta(days=1))
    latest = datetime.now(UTC)
    with client_of(create_app(settings)) as client:
        while True:
            answered = status(client, key)
            if datetime.now(UTC) >= earliest + lasting:
                break
            assert answered == 200
        wait_until(lambda: datetime.now(UTC) > latest + lasting, seconds=5)
        found = problem(client.get("/metrics", headers=sent(key)), 401, "key-expired")
        assert "has expired" in found["detail"]


def test_a_key_asks_no_more_often_than_it_may(settings: Settings) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS], per_minute=5)
    other = add_key(settings, "other", [KeyScope.METRICS], per_minute=5)
    with client_of(create_app(settings)) as client:
        started = time.time()
        assert [status(client, key) for _ in range(5)] == [200] * 5
        answer = client.get("/metrics", headers=sent(key))
        found = problem(answer, 429, "too-many-requests")
        assert found["detail"] == "This key may ask 5 times a minute."
        # When the first of the five is a minute old.
        wait = int(answer.headers["retry-after"])
        assert started + 59 <= time.time() + wait <= started + 63
        assert status(client, other) == 200
        # What needs no key is not counted.
        assert client.get("/healthz", headers=sent(key)).status_code == 200


def test_the_limit_is_of_any_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = key_limits.KeyLimits()
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    assert limits.seconds_to_wait("app", 2) == 0
    now[0] += 40
    assert limits.seconds_to_wait("app", 2) == 0
    assert limits.seconds_to_wait("app", 2) == 20
    now[0] += 20.5
    # The first is a minute old, the second is not.
    assert limits.seconds_to_wait("app", 2) == 0
    assert limits.seconds_to_wait("app", 2) == 40


def test_wrong_keys_are_answered_later_and_later_and_good_ones_at_once(
    settings: Settings,
) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS])
    with client_of(create_app(settings)) as client:

        def seconds(sent_key: str, wanted: int) -> float:
            started = time.monotonic()
            assert status(client, sent_key) == wanted
            return time.monotonic() - started

        taken = [seconds(f"guess{number}", 401) for number in range(4)]
        for number, passed in enumerate(taken):
            assert passed >= 0.1 * 2**number
        # The next guess would take twice as long as the last.
        assert seconds(key, 200) < taken[-1]
        # Who sends none has not guessed.
        started = time.monotonic()
        assert status(client, None) == 401
        assert time.monotonic() - started < taken[-1]


@pytest.mark.usefixtures("at_once")
def test_refused_keys_are_logged_and_counted_but_not_shown(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS], per_minute=100)
    weak = add_key(settings, "weak", [KeyScope.SCORE])
    old = add_key(settings, "old", [KeyScope.METRICS], days=1e-9)
    few = add_key(settings, "few", [KeyScope.METRICS], per_minute=1)
    with client_of(create_app(settings)) as client:
        for one in ("pollux_guess", weak, old, few, few):
            status(client, one)
        text = client.get("/metrics", headers=sent(key)).text
        for _ in range(50):
            status(client, "pollux_guess")
    lines = [one.getMessage() for one in caplog.records if "Refused a key" in one.getMessage()]
    assert lines[:4] == [
        "Refused a key from 127.0.0.1: it is not known.",
        "Refused a key weak: it lacks the scope metrics.",
        "Refused a key from 127.0.0.1: old has expired.",
        "Refused a key few: it may ask 1 times a minute.",
    ]
    # Whoever guesses fills no disk.
    assert len(lines) == 4 + 9
    assert lines[-1].endswith("More within a minute are counted only.")
    for secret in (key, weak, old, few, "pollux_guess"):
        digest = hashlib.sha256(secret.encode()).hexdigest()
        assert not {secret, secret[7:15], digest, digest[:8]} & set(re.split(r"\W", caplog.text))
    for reason in ("unknown", "scope", "expired", "limit"):
        assert f'pollux_keys_refused_total{{reason="{reason}"}} 1.0' in text


def test_the_last_use_is_written_and_not_with_each_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS])
    unused = add_key(settings, "unused", [KeyScope.METRICS])
    written: list[str] = []
    note = api_keys.note_use
    monkeypatch.setattr(
        api_keys, "note_use", lambda file, name: (written.append(name), note(file, name))
    )
    before = time.time()
    with client_of(create_app(settings)) as client:
        for _ in range(20):
            assert status(client, key) == 200
    assert written == ["app"]
    used = last_used(keys_file(settings), "app")
    assert used is not None
    assert before - 0.1 <= used.timestamp() <= time.time()
    assert last_used(keys_file(settings), "unused") is None
    assert unused


def test_a_folder_that_cannot_be_written_is_said_and_keys_are_accepted(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_key(settings, "app", [KeyScope.METRICS])

    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(api_keys, "note_use", refuse)
    with client_of(create_app(settings)) as client:
        assert [status(client, key) for _ in range(3)] == [200] * 3
    said = [one.getMessage() for one in caplog.records if "cannot be noted" in one.getMessage()]
    assert said == ["When the key app was used cannot be noted: Permission denied."]


@pytest.mark.usefixtures("at_once")
def test_the_scorer_takes_the_key_that_the_event_service_sends(settings: Settings) -> None:
    add_key(settings, "app", [KeyScope.ADMIN])
    both = settings.model_copy(update={"scoring_key": SecretStr("between")})
    wanted: Mapping[str, tuple[Any, str, int]] = {
        "scorer": (create_scorer(both), "/model", 503),
        "scorer, another scope": (create_scorer(both), "/metrics", 403),
        "API": (create_app(both), "/metrics", 401),
    }
    for name, (app, path, expected) in wanted.items():
        (answer,) = answers(app, [("GET", path, "between")])
        assert answer.status_code == expected, name
