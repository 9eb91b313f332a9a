"""The file of keys: what is kept of a key, and what changes it."""

import hashlib
import json
import multiprocessing
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from pollux.runtime import keys
from pollux.runtime.keys import (
    KeyScope,
    KeysError,
    KeysFileError,
    add_key,
    keys_file,
    last_used,
    note_use,
    read_keys,
    revoke_key,
    rotate_key,
)
from pollux.runtime.settings import Settings

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SCORE = [KeyScope.SCORE]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_a_key_is_kept_as_its_hash_alone(settings: Settings) -> None:
    assert read_keys(keys_file(settings)) is None
    key = add_key(settings, "shop-app", [KeyScope.SCORE, KeyScope.STORE_READ], days=2, now=NOW)
    assert key.startswith("pollux_")
    # 256 random bits.
    assert len(bytes.fromhex(key.removeprefix("pollux_"))) == 32
    text = keys_file(settings).read_text()
    assert key not in text
    (kept,) = json.loads(text)["keys"]
    assert kept["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert kept["scopes"] == ["store:read", "score"]
    assert kept["expires_at"] == "2026-11-29T12:00:00Z"
    mode = stat.S_IMODE(keys_file(settings).stat().st_mode)
    assert mode == 0o600


def test_two_keys_differ(settings: Settings) -> None:
    assert add_key(settings, "one", SCORE) != add_key(settings, "two", SCORE)


@pytest.mark.parametrize(
    "name", ["", "A", "-x", "a b", "ä", "a" * 64, "../x", "a/b", "setting:x", "x\n"]
)
def test_what_is_no_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(KeysError, match="is no name of a key"):
        add_key(settings, name, SCORE)
    assert not keys_file(settings).exists()


def test_a_name_is_taken_once(settings: Settings) -> None:
    add_key(settings, "shop-app", SCORE)
    before = keys_file(settings).read_bytes()
    with pytest.raises(KeysError, match="pollux keys rotate shop-app"):
        add_key(settings, "shop-app", SCORE)
    assert keys_file(settings).read_bytes() == before


def test_a_day_beyond_all_calendars_is_refused(settings: Settings) -> None:
    with pytest.raises(KeysError, match="no calendar"):
        add_key(settings, "shop-app", SCORE, days=1e8)


def test_a_rotated_key_keeps_all_but_the_key(settings: Settings) -> None:
    old = add_key(settings, "app", SCORE, days=2, per_minute=7, now=NOW)
    later = NOW + timedelta(hours=1)
    new = rotate_key(settings, "app", now=later)
    (kept,) = read_keys(keys_file(settings)) or ()
    assert kept.sha256 == hashlib.sha256(new.encode()).hexdigest() != old
    assert (kept.scopes, kept.per_minute) == ({KeyScope.SCORE}, 7)
    assert kept.expires_at == NOW + timedelta(days=2)
    assert kept.made_at == later
    assert kept.earlier is None
    rotate_key(settings, "app", overlap_minutes=30, now=later)
    (kept,) = read_keys(keys_file(settings)) or ()
    assert kept.earlier is not None
    assert kept.earlier.sha256 == hashlib.sha256(new.encode()).hexdigest()
    assert kept.earlier.until == later + timedelta(minutes=30)


def test_an_expired_key_is_not_rotated(settings: Settings) -> None:
    add_key(settings, "app", SCORE, days=1, now=NOW)
    with pytest.raises(KeysError, match="has expired"):
        rotate_key(settings, "app", now=NOW + timedelta(days=1))


def test_a_revoked_key_is_gone_with_all_that_is_known_of_it(settings: Settings) -> None:
    add_key(settings, "app", SCORE)
    add_key(settings, "other", SCORE)
    note_use(keys_file(settings), "app")
    revoke_key(settings, "app")
    assert [key.name for key in read_keys(keys_file(settings)) or ()] == ["other"]
    assert last_used(keys_file(settings), "app") is None
    for change in (revoke_key, rotate_key):
        with pytest.raises(KeysError, match=r"There is no key app\. Known: other\."):
            change(settings, "app")


def test_without_any_key_the_file_stays(settings: Settings) -> None:
    """It says that keys are required."""
    add_key(settings, "app", SCORE)
    revoke_key(settings, "app")
    assert read_keys(keys_file(settings)) == ()


def test_the_last_use_is_noted(settings: Settings) -> None:
    add_key(settings, "app", SCORE)
    file = keys_file(settings)
    assert last_used(file, "app") is None
    for _ in range(2):
        before = time.time()
        note_use(file, "app")
        noted = last_used(file, "app")
        assert noted is not None
        # A file's time is that of the kernel's last tick.
        assert before - 0.1 <= noted.timestamp() <= time.time()


GOOD = {"name": "a", "sha256": "0" * 64, "scopes": ["score"], "made_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ('{"format": 2, "keys": []}', "format"),
        (json.dumps({"format": 1, "keys": [GOOD | {"scopes": ["all"]}]}), r"keys\.0\.scopes"),
        (json.dumps({"format": 1, "keys": [GOOD | {"scopes": []}]}), r"keys\.0\.scopes"),
        (json.dumps({"format": 1, "keys": [GOOD | {"sha256": "0" * 63}]}), r"keys\.0\.sha256"),
        (json.dumps({"format": 1, "keys": [GOOD | {"name": "../x"}]}), r"keys\.0\.name"),
        (json.dumps({"format": 1, "keys": [GOOD | {"may": "all"}]}), r"keys\.0\.may"),
        (json.dumps({"format": 1, "keys": [GOOD | {"per_minute": 0}]}), r"keys\.0\.per_minute"),
        (
            json.dumps({"format": 1, "keys": [GOOD | {"expires_at": "2026-01-01T00:00:00"}]}),
            r"keys\.0\.expires_at",
        ),
    ],
)
def test_another_file_is_refused_and_left_as_it_is(
    settings: Settings, text: str, said: str
) -> None:
    settings.keys_dir.mkdir(parents=True)
    keys_file(settings).write_text(text)
    with pytest.raises(KeysFileError, match=said):
        add_key(settings, "app", SCORE)
    assert keys_file(settings).read_text() == text


def test_a_folder_in_its_place_is_refused(settings: Settings) -> None:
    keys_file(settings).mkdir(parents=True)
    with pytest.raises(KeysFileError, match="Is a directory"):
        read_keys(keys_file(settings))


def test_a_command_does_not_wait_for_another_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LOCK_SECONDS", 0.1)
    settings.keys_dir.mkdir(parents=True)
    with (
        FileLock(settings.keys_dir / "lock"),
        pytest.raises(KeysError, match="Another command"),
    ):
        add_key(settings, "app", SCORE)


def _add_five(folder: Path, name: str) -> None:
    for number in range(5):
        add_key(Settings(data_dir=folder), f"{name}-{number}", SCORE)


def test_commands_at_the_same_time_lose_nothing(settings: Settings) -> None:
    """A reader beside them never sees half a file."""
    context = multiprocessing.get_context("fork")
    names = [f"writer{number}" for number in range(4)]
    writers = [context.Process(target=_add_five, args=(settings.data_dir, name)) for name in names]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        read_keys(keys_file(settings))
        os.sched_yield()
    found = {key.name for key in read_keys(keys_file(settings)) or ()}
    assert found == {f"{name}-{number}" for name in names for number in range(5)}
    assert [writer.exitcode for writer in writers] == [0] * 4
