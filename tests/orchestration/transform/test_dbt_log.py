"""dbt's log says what dbt did, without the values in what a database says of an error."""

import json
import os
from pathlib import Path

from orchestration.transform.dbt_log import MAX_BYTES, dbt_log, write_event


def event(level: str, message: str) -> str:
    return json.dumps({"info": {"ts": "2026-11-27T03:00:00Z", "level": level, "msg": message}})


def test_log_has_every_message_and_no_value_of_an_error(tmp_path: Path) -> None:
    with dbt_log(tmp_path / "logs") as log:
        write_event(log, event("info", '1 of 2 OK created "members"'))
        write_event(log, event("error", 'invalid input syntax for type integer: "O\'Canary"'))
        write_event(log, "killed while reading 'Canary'\n")
    assert (tmp_path / "logs" / "dbt.log").read_text().splitlines() == [
        '2026-11-27T03:00:00Z info 1 of 2 OK created "members"',
        "2026-11-27T03:00:00Z error invalid input syntax for type integer: (personal)",
        "killed while reading (personal)",
    ]


def test_log_can_be_followed_line_by_line(tmp_path: Path) -> None:
    with dbt_log(tmp_path) as log:
        write_event(log, event("info", "1 of 2 START"))
        assert (tmp_path / "dbt.log").read_text().endswith("1 of 2 START\n")


def test_log_is_appended_to_until_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "dbt.log"
    for message in ("first", "second"):
        with dbt_log(tmp_path) as log:
            write_event(log, event("info", message))
    assert len(path.read_text().splitlines()) == 2
    os.truncate(path, MAX_BYTES + 1)
    with dbt_log(tmp_path) as log:
        write_event(log, event("info", "third"))
    assert path.read_text().endswith("info third\n")
    assert path.stat().st_size < 100
    assert path.with_name("dbt.log.1").stat().st_size == MAX_BYTES + 1
