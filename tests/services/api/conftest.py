"""A serving database with a release of every domain, and the API on it, once for each file."""

from collections.abc import Iterator

import httpx
import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.services.api.support import NUMBER, any_store, client_of, release_all


@pytest.fixture(scope="module")
def installation() -> Iterator[tuple[Settings, ServingStore]]:
    with any_store() as (settings, store):
        with store.connect(autocommit=True) as connection:
            release_all(connection, NUMBER)
        yield settings, store


@pytest.fixture(scope="module")
def client(installation: tuple[Settings, ServingStore]) -> Iterator[httpx.Client]:
    with client_of(create_app(installation[0])) as client:
        yield client
