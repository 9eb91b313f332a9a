"""Where services are reached."""

import pytest

from pollux.runtime.settings import Settings
from services.common.addresses import api_url, events_url, scoring_url

SERVICES = {"api": api_url, "events": events_url, "scoring": scoring_url}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8001"),
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("::1", "http://[::1]:8001"),
    ],
)
def test_without_a_url_a_service_is_on_this_machine(host: str, url: str) -> None:
    assert scoring_url(Settings(api_host=host, scoring_port=8001)) == url


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_a_port_and_a_setting_of_its_own(name: str) -> None:
    url = SERVICES[name]
    assert url(Settings(**{f"{name}_port": 9876})) == "http://127.0.0.1:9876"
    elsewhere = "http://elsewhere.example:1"
    assert url(Settings(**{f"{name}_url": elsewhere})) == elsewhere
