"""Dead letters: listed without their content, replayed where that can work."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from cli.app import app
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.events.database.dead_letters import DeadLetterError, ask_for_replay, read_dead_letters
from services.events.database.migrate import migrate

LETTERS = """
insert into events.dead_letter
    (event_key, kind, topic, payload, is_whole, reason, resolved_at)
overriding system value
values
    (gen_random_uuid(), 'focus', 'shop/focus', 'not [red]JSON[/red]', true, 'not JSON', null),
    (gen_random_uuid(), 'conversion', 'shop/buys', %s, true, 'no e-mail', null),
    (gen_random_uuid(), 'focus', 'shop/focus', 'xxxx', false, 'too long', null),
    (gen_random_uuid(), 'entry', 'shop/entry', '{}', true, 'no id', now())
"""
STEERING = b"\x1b[2J alice@example.com \xff\n"


@pytest.fixture(scope="module")
def data_dir(short_tmp: Path) -> Path:
    folder = short_tmp / "letters"
    with open_serving_store(Settings(data_dir=folder)).connect() as connection:
        migrate(connection)
    return folder


@pytest.fixture
def connection(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(data_dir))
    with open_serving_store(Settings()).connect(autocommit=True) as found:
        found.execute("truncate events.dead_letter restart identity")
        found.execute(LETTERS, [STEERING])
        yield found


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["events", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def requested(connection: psycopg.Connection) -> list[int]:
    rows = connection.execute(
        "select id from events.dead_letter where replay_requested_at is not null order by id"
    )
    return [number for (number,) in rows.fetchall()]


def test_list_shows_reasons_and_no_message(connection: psycopg.Connection) -> None:
    listed = json.loads(run("dead-letters", "--json"))
    assert [(one["id"], one["reason"], one["state"]) for one in listed] == [
        (3, "too long", "cut off"),
        (2, "no e-mail", "open"),
        (1, "not JSON", "open"),
    ]
    assert "message" not in listed[0]
    text = run("dead-letters")
    assert "alice" not in text
    assert "too long" in text
    everything = json.loads(run("dead-letters", "--json", "--all"))
    assert [one["id"] for one in everything] == [4, 3, 2, 1]
    assert everything[0]["state"] == "resolved"
    assert [one["id"] for one in json.loads(run("dead-letters", "--json", "--limit", "1"))] == [3]


def test_shown_messages_do_not_steer_the_terminal(connection: psycopg.Connection) -> None:
    by_id = {one["id"]: one for one in json.loads(run("dead-letters", "--json", "--show"))}
    assert by_id[2]["message"] == r"\x1b[2J alice@example.com \xff\n"
    assert by_id[1]["message"] == "not [red]JSON[/red]"
    text = run("dead-letters", "--show")
    assert "\x1b[2J" not in text
    assert "[red]" in text


def test_long_messages_are_cut_in_the_table(connection: psycopg.Connection) -> None:
    connection.execute("update events.dead_letter set payload = %s where id = 1", [b"x" * 5000])
    assert "5,000 characters" in " ".join(run("dead-letters", "--show").split())
    by_id = {one["id"]: one for one in json.loads(run("dead-letters", "--json", "--show"))}
    assert by_id[1]["message"] == "x" * 5000


def test_replay_takes_all_that_are_open_and_whole(connection: psycopg.Connection) -> None:
    assert "2 dead letters are read again" in run("replay")
    assert requested(connection) == [1, 2]
    states = {letter.id: letter.state for letter in read_dead_letters(connection, limit=10)}
    assert states == {1: "waits for a worker", 2: "waits for a worker", 3: "cut off"}


def test_replay_of_one_leaves_the_others(connection: psycopg.Connection) -> None:
    assert "1 dead letter is read again" in run("replay", "--id", "2")
    assert requested(connection) == [2]


def test_replay_of_none_says_so(connection: psycopg.Connection) -> None:
    connection.execute("truncate events.dead_letter")
    assert "No dead letters to replay." in run("replay")
    assert "No dead letters." in run("dead-letters")
    assert json.loads(run("dead-letters", "--json")) == []


def test_what_cannot_be_replayed_is_said_and_nothing_is_asked(
    connection: psycopg.Connection,
) -> None:
    with pytest.raises(DeadLetterError) as raised:
        ask_for_replay(connection, [1, 3, 4, 99])
    assert str(raised.value).splitlines() == [
        "Dead letter 3 was too long, only its beginning was kept: it cannot be read again.",
        "Dead letter 4 is resolved already.",
        "There is no dead letter 99.",
    ]
    assert requested(connection) == []


def test_no_server_is_made_to_find_it_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path / "new"))
    assert "No dead letters." in run("dead-letters")
    assert "No dead letters to replay." in run("replay")
    with pytest.raises(DeadLetterError, match="no event service has run"):
        run("replay", "--id", "1")
    assert not (tmp_path / "new").exists()
