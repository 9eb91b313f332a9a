"""A person in what a page of the dashboard fails at is not in its log."""

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.web.bootstrap import load_config_options

from services.dashboard.options import OPTIONS
from services.dashboard.pages import PAGES
from services.dashboard.server import SCRIPT
from tests.services.dashboard.support import SECONDS, FakeServices
from tests.support.canary import EMAIL, NAME, traces_in


@pytest.fixture(autouse=True)
def as_it_is_served(masked_logs: None) -> None:
    """With the options of the server, and the logs of every command."""
    load_config_options(OPTIONS)


def test_a_page_that_fails_leaves_no_trace_of_a_person(
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise ValueError(f"{NAME} is no number") from KeyError(EMAIL)

    monkeypatch.setattr(PAGES[0], "show", fail)
    page = AppTest.from_file(SCRIPT, default_timeout=SECONDS)
    page.run()
    assert page.exception
    log = "".join([*capfd.readouterr(), caplog.text])
    assert "Uncaught app exec" in log
    assert "in fail" in log
    assert traces_in(log) == []


def test_nor_does_an_answer_that_no_page_understands(
    services: FakeServices, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    services.serve("/v1/releases", [{NAME: EMAIL}])
    services.serve("/v1/alerts", {EMAIL: NAME})
    page = AppTest.from_file(SCRIPT, default_timeout=SECONDS)
    page.run()
    assert page.exception
    log = "".join([*capfd.readouterr(), caplog.text])
    assert "Uncaught app exec" in log
    assert traces_in(log) == []
