"""Behind a proxy that shows the API under a prefix, every link leads back through the proxy."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.services.api.support import client_of, problem


@pytest.fixture(scope="module", params=["header", "setting", "setting, prefix left there"])
def proxied(
    request: pytest.FixtureRequest, installation: tuple[Settings, ServingStore]
) -> Iterator[httpx.Client]:
    """What a proxy sends for requests below /tools/pollux: a client whose paths are the proxy's."""
    way: str = request.param
    told = {} if way == "header" else {"root_path": "/tools/pollux/"}
    settings = Settings.model_validate(installation[0].model_dump() | told)
    with client_of(create_app(settings)) as client:

        def forward(sent: httpx.Request) -> None:
            path = sent.url.raw_path
            assert path.startswith(b"/tools/pollux/"), path
            if "left" not in way:
                sent.url = sent.url.copy_with(raw_path=path.removeprefix(b"/tools/pollux"))
            if way == "header":
                sent.headers["X-Forwarded-Prefix"] = "/tools/pollux"

        client.event_hooks = {"request": [forward]}
        yield client


@pytest.mark.integration
def test_documentation_asks_for_the_right_description(proxied: httpx.Client) -> None:
    page = proxied.get("/tools/pollux/docs").text
    found = re.search(r"url: '([^']*)'", page)
    assert found is not None
    description = proxied.get(found[1]).json()
    assert description["servers"] == [{"url": "/tools/pollux"}]
    assert "/v1/members/{email}" in description["paths"]


@pytest.mark.integration
def test_every_link_leads_somewhere(proxied: httpx.Client) -> None:
    links = proxied.get("/tools/pollux/").json()["links"]
    assert len(links) > 10
    assert {name: proxied.get(path).status_code for name, path in links.items()} == dict.fromkeys(
        links, 200
    )
    marts = proxied.get("/tools/pollux/v1/marts").json()["data"]
    marts += proxied.get("/tools/pollux/v1/marts/store").json()["data"]
    assert {proxied.get(mart["path"]).status_code for mart in marts} == {200}


@pytest.mark.integration
def test_pages_and_problems_are_as_without_a_prefix(
    proxied: httpx.Client, installation: tuple[Settings, ServingStore]
) -> None:
    with client_of(create_app(installation[0])) as direct:
        for path in ("/v1/members?limit=3", "/v1/members/anna%40example.org", "/v1/marts/store"):
            for _ in range(2):
                assert direct.get(path).status_code == 200
                assert proxied.get(f"/tools/pollux{path}").status_code == 200
        first = proxied.get("/tools/pollux/v1/members?limit=3").json()
        second = proxied.get(f"/tools/pollux/v1/members?limit=3&next={first['next']}").json()
        assert second == direct.get(f"/v1/members?limit=3&next={first['next']}").json()
        # What one way of asking leaves in memory is not the other's answer.
        mart = direct.get("/v1/marts/store").json()["data"][0]
        assert mart["path"].startswith("/v1/")
    problem(proxied.get("/tools/pollux/v1/members/nobody"), 404, "unknown-member")


@pytest.mark.integration
@pytest.mark.parametrize(
    "prefix",
    ["/x'; alert(1); '", "/<script>", "//evil.example", "https://evil.example", "x", "/%0d", "/v1"],
)
def test_a_header_that_is_no_plain_path_is_not_heard(
    installation: tuple[Settings, ServingStore], prefix: str
) -> None:
    with client_of(create_app(installation[0])) as client:
        answer = client.get("/docs", headers={"X-Forwarded-Prefix": prefix})
        assert "url: '/openapi.json'" in answer.text


@pytest.mark.integration
def test_what_needs_no_key_needs_none_behind_a_prefix(
    installation: tuple[Settings, ServingStore],
) -> None:
    settings = Settings.model_validate(installation[0].model_dump() | {"api_keys": "0" * 64})
    told = {"X-Forwarded-Prefix": "/pollux"}
    with client_of(create_app(settings)) as client:
        assert client.get("/healthz", headers=told).status_code == 200
        assert client.get("/", headers=told).status_code == 200
        for path in ("/v1/members", "/metrics", "/docs/x", "/pollux/healthz", "/healthz/healthz"):
            assert client.get(path, headers=told).status_code == 401
        # A prefix cannot make a guarded path an open one.
        answer = client.get("/v1/members", headers={"X-Forwarded-Prefix": "/healthz"})
        assert answer.status_code == 401


@pytest.mark.parametrize("prefix", ["pollux", "/v1", "/a b", "/a//b", "http://x/pollux"])
def test_a_setting_that_is_no_prefix_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ValidationError, match="is no path prefix, as /pollux is one"):
        Settings(data_dir=tmp_path, root_path=prefix)
