"""The API held to its own description: no answer of any request may differ from it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

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

from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.integration.test_api_support import client_of, embedded_store, release_all

NUMBER = 3
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

schema = schemathesis.openapi.from_dict(create_app(OFFLINE).openapi())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where an API runs on releases of every domain."""
    with embedded_store() as (store_settings, store):
        with store.connect(autocommit=True) as connection:
            release_all(connection, NUMBER)
        with client_of(create_app(store_settings)) as client:
            yield str(client.base_url)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_described(case: Any, url: str) -> None:
    answer = case.call_and_validate(base_url=url, checks=CHECKS)
    ANSWERED[case.operation.label][answer.status_code] += 1


def test_every_operation_was_answered_well_and_refused() -> None:
    """Of the tests above: the requests to an operation were not all of one kind."""
    operations = [operation.ok() for operation in schema.get_all_operations()]
    if len(ANSWERED) < len(operations):
        pytest.skip("the tests above did not all run")
    for operation in operations:
        statuses = ANSWERED[operation.label]
        assert statuses[200], operation.label
        if operation.path.startswith("/v1/"):
            assert statuses[422], operation.label
