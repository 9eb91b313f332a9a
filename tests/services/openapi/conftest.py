"""Services to try OpenAPI documents on, once for each file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pollux.runtime.settings import Settings
from tests.services.openapi.support import Urls, running_services
from tests.support.installations import Prepared


@pytest.fixture(scope="module")
def urls(
    prepared: Prepared, trained_store: tuple[Settings, object], short_tmp: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Urls]:  # fmt: skip
    folder = short_tmp / Path(request.node.path).stem.removeprefix("test_")[:8]
    with running_services(prepared, trained_store[0], folder) as urls:
        yield urls
