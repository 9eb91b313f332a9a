"""The health check of the image asks what the container runs."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from cli import healthy
from tests.support.programs import serving


class Answer(BaseHTTPRequestHandler):
    """Answers as a service that is up, but for Dagster's page."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with serving(Answer) as port:
        yield port


def check(patch: pytest.MonkeyPatch, folder: Path, *command: str) -> bool:
    """Whether the check of a container with this command passes."""
    first = folder / "cmdline"
    first.write_bytes(b"".join(word.encode() + b"\0" for word in command))
    patch.setattr(healthy, "FIRST_PROCESS", first)
    try:
        healthy.main()
    except SystemExit:
        return False
    return True


PROGRAM = ("/opt/pollux/.venv/bin/python", "/opt/pollux/.venv/bin/pollux")


@pytest.mark.parametrize("init", [(), ("/sbin/docker-init", "--")], ids=["alone", "init"])
def test_the_service_of_the_command_is_asked(init, port, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("POLLUX_EVENTS_PORT", str(port))
    monkeypatch.setenv("POLLUX_DAGSTER_PORT", str(port))
    monkeypatch.setenv("POLLUX_API_PORT", "1")
    assert check(monkeypatch, tmp_path, *init, *PROGRAM, "serve", "events")
    # Nothing listens there.
    assert not check(monkeypatch, tmp_path, *init, *PROGRAM, "serve", "api")
    # It answers, with an error.
    assert not check(monkeypatch, tmp_path, *init, *PROGRAM, "dagster")


def test_a_command_that_serves_nothing_is_healthy(tmp_path, monkeypatch) -> None:
    assert check(monkeypatch, tmp_path, *PROGRAM, "build")
