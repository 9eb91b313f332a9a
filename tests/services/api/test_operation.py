"""What is served since when, and what went wrong lately."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest

from orchestration.defs.alerts import alert
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.api.operation import READ_BYTES
from tests.support.asgi import ask

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def alerts(settings: Settings) -> list[dict[str, str]]:
    answer = ask(create_app(settings), "GET", "/v1/alerts")
    assert answer.status_code == 200
    data: list[dict[str, str]] = answer.json()["data"]
    return data


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=NOWHERE, api_keys="", alert_webhook=None)


def test_alerts_are_those_that_runs_wrote_the_newest_first(settings: Settings) -> None:
    assert alerts(settings) == []
    alert(settings, "first run failed:\n  a test", {})
    alert(settings, "second run failed: münze", {})
    found = alerts(settings)
    assert [one["text"] for one in found] == [
        "second run failed: münze",
        "first run failed: | a test",
    ]
    assert all(datetime.fromisoformat(one["at"]).utcoffset() is not None for one in found)


def test_of_many_alerts_the_last_twenty_are_read(settings: Settings) -> None:
    settings.logs_dir.mkdir()
    # Longer than what is read of it, so that its first line is cut.
    lines = [f"2026-11-26T04:12:09+00:00 number {n} {'x' * 500}\n" for n in range(200)]
    assert sum(map(len, lines)) > READ_BYTES
    (settings.logs_dir / "alerts.log").write_text("".join(lines))
    found = alerts(settings)
    assert [int(one["text"].split()[1]) for one in found] == list(range(199, 179, -1))


def test_a_line_that_is_no_alert_is_left_out(settings: Settings) -> None:
    settings.logs_dir.mkdir()
    log = "\n2026-11-26 no alert\n\xff\n2026-11-26T04:12:09+00:00 one\n"
    (settings.logs_dir / "alerts.log").write_bytes(log.encode("latin-1"))
    assert alerts(settings) == [{"at": "2026-11-26T04:12:09Z", "text": "one"}]


@pytest.mark.integration
def test_releases_are_those_that_the_registry_names(
    installation: tuple[Settings, ServingStore], client: httpx.Client
) -> None:
    with installation[1].connect() as connection:
        rows = connection.execute(
            "select domain, number, released_at from release.current "
            "join release.releases using (domain, number) order by domain"
        ).fetchall()
    found = client.get("/v1/releases").json()["data"]
    assert len(found) == 4
    assert [
        (one["domain"], one["number"], datetime.fromisoformat(one["released_at"])) for one in found
    ] == rows
    assert [one["name"] for one in found] == [f"{domain}-{number}" for domain, number, _ in rows]
