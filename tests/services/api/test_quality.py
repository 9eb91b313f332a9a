"""What the current releases know of the quality of their data."""

import httpx
import psycopg
import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.quality import QualityReport

pytestmark = pytest.mark.integration

QUALITY = """
{"built_at": "2026-11-26T04:11:02Z",
 "datasets": [{"dataset": "orders", "is_sample": false, "files": 1, "rows_read": 5,
   "rows_landed": 3, "rows_rejected": 2, "loaded_at": "2026-11-26T04:10:41Z",
   "rejects": [{"column": "ordered_at", "reason": "no such day", "rows": 2}]}],
 "tests": [{"name": "not_null_x", "description": "", "kind": "not_null", "model": "x",
   "column": "y", "status": "passed", "rows": 0}]}
"""


def write(connection: psycopg.Connection, domain: str, number: int, quality: str) -> None:
    insert = "insert into release.quality values (%s, %s, %s::jsonb)"
    connection.execute(insert, [domain, number, quality])


def test_each_release_has_its_own(
    installation: tuple[Settings, ServingStore], client: httpx.Client
) -> None:
    with installation[1].connect() as connection:
        current = connection.execute("select domain, number from release.current").fetchall()
        numbers = dict(current)
        write(connection, "store", numbers["store"], QUALITY)
        # Of a release that is not served any more.
        write(connection, "household", numbers["household"] - 1, QUALITY)
        connection.commit()
        try:
            answer = client.get("/v1/quality")
        finally:
            connection.execute("delete from release.quality")
    (store,) = answer.json()["data"]
    assert (store["domain"], store["release"]) == ("store", f"store-{numbers['store']}")
    assert store["datasets"][0]["rejects"][0]["rows"] == 2
    assert store["tests"][0]["status"] == "passed"
    QualityReport.model_validate_json(answer.content)
    assert answer.headers["x-pollux-release"].count(",") == len(numbers) - 1
    tag = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/v1/quality", headers=tag).status_code == 304


def test_releases_of_an_earlier_version_have_none(
    installation: tuple[Settings, ServingStore], client: httpx.Client
) -> None:
    assert client.get("/v1/quality").json() == {"data": []}
    with installation[1].connect() as connection:
        connection.execute("alter table release.quality rename to elsewhere")
        connection.commit()
        try:
            answer = client.get("/v1/quality")
        finally:
            connection.execute("alter table release.elsewhere rename to quality")
    assert (answer.status_code, answer.json()) == (200, {"data": []})


def test_it_takes_no_parameter(client: httpx.Client) -> None:
    assert client.get("/v1/quality?domain=store").status_code == 422
