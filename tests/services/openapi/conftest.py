"""Services to try OpenAPI documents on, once for each file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pollux.runtime.settings import Settings
from services.common import key_limits
from tests.services.openapi.support import Urls, running_services
from tests.support.installations import Prepared


@pytest.fixture(scope="module")
def urls(
    prepared: Prepared, trained_store: tuple[Settings, object], short_tmp: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Urls]:  # fmt: skip
    folder = short_tmp / Path(request.node.path).stem.removeprefix("test_")[:8]
    with (
        pytest.MonkeyPatch.context() as patch,
        running_services(prepared, trained_store[0], folder) as urls,
    ):
        # Every operation is asked with a wrong key, too, whose answers come later and later.
        patch.setattr(key_limits, "LONGEST_WAIT", 0.0)
        yield urls
