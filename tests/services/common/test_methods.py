"""A path tells the methods of all its operations to whoever asks with another one."""

import re

import pytest

from services.openapi.documents import documents
from tests.services.common.test_parameters import APPS
from tests.support import asgi

PATHS = [(service, path) for service, one in documents().items() for path in one["paths"]]


@pytest.mark.parametrize(("service", "path"), PATHS)
@pytest.mark.parametrize("method", ["PUT", "OPTIONS"])
def test_another_method_is_told_those_there_are(service: str, path: str, method: str) -> None:
    documented = {one.upper() for one in documents()[service]["paths"][path]}
    takes = ", ".join(sorted(documented | ({"HEAD"} if "GET" in documented else set())))
    answer = asgi.ask(APPS[service], method, re.sub("{.*?}", "1", path))
    assert answer.status_code == 405
    assert answer.headers["allow"] == takes
    assert answer.json()["detail"] == f"This path takes {takes}."
