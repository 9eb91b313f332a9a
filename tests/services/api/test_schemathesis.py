"""The API checked against its own description: no answer may differ from it."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.services.api.support import NUMBER

pytestmark = pytest.mark.integration

EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OFFLINE = Settings(
    database_url="postgresql://nobody@127.0.0.1:1/nothing", api_keys="", api_host="127.0.0.1"
)
ANSWERED: defaultdict[str, Counter[int]] = defaultdict(Counter)

# Examples are those of the sample; releases made by hand have others.
EXAMPLES_HERE = {
    "mossynumbat_lover1@example.net": "anna@example.org",
    "BilbyMug": "Summer",
}


def described() -> dict[str, Any]:
    text = json.dumps(create_app(OFFLINE).openapi())
    for of_sample, here in EXAMPLES_HERE.items():
        text = text.replace(f'"{of_sample}"', f'"{here}"')
    found: dict[str, Any] = json.loads(text)
    return found


schema = schemathesis.openapi.from_dict(described())


@pytest.fixture(scope="module")
def url(client: httpx.Client, installation: tuple[Settings, ServingStore]) -> str:
    """Where an API runs on releases of every domain, with the file of the examples' mart."""
    folder = installation[0].releases_dir / "store" / f"r{NUMBER}"
    folder.mkdir(parents=True)
    (folder / "coupon_info.parquet").write_bytes(b"PAR1PAR1")
    return str(client.base_url)


# A test with a name of its own for each: those of one `parametrize` all have the same, and
# whoever spreads tests over processes by their names runs a single one of them.
OPERATIONS = [operation.ok() for operation in schema.get_all_operations()]
TESTS = {f"test_{re.sub(r'[^a-z0-9]+', '_', one.label.lower())}": one for one in OPERATIONS}


def make_test() -> Callable[[Any, str], None]:
    def test(case: Any, url: str) -> None:
        answer = case.call_and_validate(base_url=url, checks=CHECKS)
        ANSWERED[case.operation.label][answer.status_code] += 1

    return settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))(
        test
    )


for name, one in TESTS.items():
    alone = schema.include(path=one.path, method=one.method.upper())
    globals()[name] = alone.parametrize()(make_test())


def test_every_operation_was_answered_well_and_refused(request: pytest.FixtureRequest) -> None:
    """Of the tests above: the requests to an operation were not all of one kind."""
    assert len(TESTS) == len(OPERATIONS)
    asked_for = {getattr(item, "originalname", "") for item in request.session.items}
    if not TESTS.keys() <= asked_for:
        pytest.skip("the tests above were not all asked for")
    for operation in OPERATIONS:
        statuses = ANSWERED[operation.label]
        assert statuses[200], operation.label
        if operation.path.startswith("/v1/marts/"):
            # Any text may be the name of a mart.
            assert statuses[404], operation.label
        elif operation.path.startswith("/v1/") and operation.path != "/v1/marts":
            assert statuses[422], operation.label
