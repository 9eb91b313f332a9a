"""The segments of vouchers are what the dbt project's variables say, from the marts to the API."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orchestration import build as builds
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.contracts import contracts_text
from orchestration.transform.dbt import read_run, target_dir
from pollux.contracts import read_contracts
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.api.customer.segments import Segment, Segments
from tests.conftest import PROJECT_DIR
from tests.services.api.support import client_of

VARIABLES = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
DECLARED = {name: VARIABLES[f"{name}s"] for name in ("frequency_segment", "recency_segment")}
# A bound is moved, a segment renamed, and one added.
CHANGED: dict[str, list[dict[str, Any]]] = {
    "frequency_segment": [*DECLARED["frequency_segment"], {"name": "often", "first": 38}],
    "recency_segment": [
        {"name": "30-60", "first": 0, "last": 60},
        *DECLARED["recency_segment"][1:-1],
        {"name": "half a year", "first": 181},
    ],
}
ASSIGNED = datetime(2020, 6, 1, 12, tzinfo=UTC)
# Days since the last order, orders so far, amount, how many: 5720 is the country's as a whole.
ASSIGNMENTS = [(10, 2, 2200, 3), (40, 2, 2200, 1), (100, 2, 5720, 6), (400, 50, 990, 2)]


@pytest.mark.parametrize(
    ("segment_name", "number", "segment"),
    [
        ("frequency_segment", 0, None),
        ("frequency_segment", 1, "few"),
        ("frequency_segment", 4, "few"),
        ("frequency_segment", 5, None),
        ("frequency_segment", 7, "many"),
        ("frequency_segment", 2**31, "many"),
        ("recency_segment", 0, "late"),
        ("recency_segment", 9, "late"),
        ("recency_segment", 10, None),
    ],
)
def test_edges_of_segments(segment_name: str, number: int, segment: str | None) -> None:
    rows = [
        Segment("frequency_segment", "few", 1, 4),
        Segment("frequency_segment", "many", 7, None),
        Segment("recency_segment", "late", 0, 9),
    ]
    assert Segments(rows).of(segment_name, number) == segment


def test_of_two_segments_the_first_counts() -> None:
    rows = [Segment("recency_segment", "a", 0, 9), Segment("recency_segment", "b", 5, None)]
    assert [Segments(rows).of("recency_segment", days) for days in (5, 9, 10)] == ["a", "a", "b"]


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """Pages, code, and what YAML says of models, by file."""
    # Pages of notebooks are what they printed.
    pages = [PROJECT_DIR / "README.md", *(PROJECT_DIR / "docs").glob("*.md")]
    code = [*(PROJECT_DIR / "services").rglob("*.py"), *(PROJECT_DIR / "models").rglob("*.sql")]
    # Examples of rules are unit tests' business.
    told = {
        path: json.dumps(yaml.load(path.read_text(), yaml.CSafeLoader).get("models", []))
        for path in (PROJECT_DIR / "models").rglob("*.yml")
    }
    assert min(map(len, (pages, code, told))) > 10
    return {path: path.read_text() for path in pages + code} | told


@pytest.mark.parametrize("name", [one["name"] for names in DECLARED.values() for one in names])
def test_no_page_nor_description_repeats_a_segment(name: str, texts: dict[Path, str]) -> None:
    assert [str(path) for path, text in texts.items() if name in text] == []


@pytest.fixture(scope="module")
def changed(short_tmp: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation that was built and released with other segments."""
    files = tmp_path_factory.mktemp("vouchers")
    header = "timestamp,country_code,last_order_ts,first_order_ts,total_orders,voucher_amount"
    lines = [
        ",".join(
            (
                f"{ASSIGNED + timedelta(seconds=place):%F %T}",
                "Peru",
                f"{ASSIGNED - timedelta(days=days):%F %T}",
                "2010-01-01 00:00:00",
                f"{orders}.0",
                str(amount),
            )
        )
        for days, orders, amount, times in ASSIGNMENTS
        for place in range(times)
    ]
    (files / "voucher_assignments.csv").write_text("\n".join([header, *lines, ""]))
    settings = Settings(data_dir=short_tmp / "segments", api_keys="")
    load(settings, domain="customer", from_=files)
    changes = {f"{name}s": segments for name, segments in CHANGED.items()}
    variables = ("--vars", json.dumps(changes))
    command = builds.dbt_command
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builds, "dbt_command", lambda *a, **b: [*command(*a, **b), *variables])
        builds.build(settings, ["customer"]).raise_if_failed()
    release(settings, "customer")
    return settings


@pytest.fixture(scope="module")
def client(changed: Settings) -> Iterator[httpx.Client]:
    with client_of(create_app(changed)) as client:
        yield client


@pytest.mark.endurance
@pytest.mark.parametrize(
    ("segment_name", "days", "orders", "amount", "segment"),
    [
        ("recency_segment", 0, 9, 2200, "30-60"),
        ("recency_segment", 29, 9, 2200, "30-60"),
        ("recency_segment", 61, 9, 5720, "61-90"),
        ("recency_segment", 181, 9, 990, "half a year"),
        ("frequency_segment", 0, 37, 5720, "14-37"),
        ("frequency_segment", 0, 38, 990, "often"),
    ],
)
def test_answers_follow_the_variables(
    client: httpx.Client, segment_name: str, days: int, orders: int, amount: int, segment: str
) -> None:
    asked = {
        "customer_id": 1,
        "country_code": "Peru",
        "last_order_ts": (ASSIGNED - timedelta(days=days)).isoformat(),
        "first_order_ts": "2010-01-01",
        "total_orders": orders,
        "segment_name": segment_name,
        "as_of": ASSIGNED.isoformat(),
    }
    assert client.post("/v1/vouchers/select", json=asked).json() == {"voucher_amount": amount}
    explained = client.post("/v1/vouchers/select", json=asked, params={"explain": True}).json()
    assert (explained["voucher_amount"], explained["segment"]) == (amount, segment)


@pytest.mark.endurance
def test_marts_and_documents_follow_the_variables(client: httpx.Client, changed: Settings) -> None:
    answer = client.get("/v1/vouchers/segments")
    assert answer.headers["x-pollux-release"] == "customer-1"
    assert answer.json()["data"] == [
        {
            "segment_name": name,
            "segment": segment["name"],
            "position": position,
            "first_number": segment["first"],
            "last_number": segment.get("last"),
        }
        for name, segments in CHANGED.items()
        for position, segment in enumerate(segments, start=1)
    ]
    with open_serving_store(changed).connect_reader() as reader:
        rows = reader.execute(
            "select distinct total_orders, frequency_segment, recency_segment "
            "from customer.voucher_assignment_segmented order by all".replace(
                "order by all", "order by 1, 3"
            )
        )
        assert rows.fetchall() == [
            (2, "0-4", "30-60"),
            (2, "0-4", "91-120"),
            (50, "often", "half a year"),
        ]
        rows = reader.execute(
            "select recency_segment, voucher_amount::integer "
            "from customer.recency_voucher_details_view order by 1"
        )
        assert rows.fetchall() == [("30-60", 2200), ("91-120", 5720), ("half a year", 990)]
    contracts = read_contracts(contracts_text(read_run(target_dir(changed)).manifest))
    (ranking,) = [contract for contract in contracts if contract.name == "voucher_ranking"]
    assert ranking.column("segment").example == "half a year"
