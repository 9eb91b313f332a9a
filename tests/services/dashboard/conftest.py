"""The services that pages of these tests ask."""

import httpx
import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from pollux.runtime.settings import Settings
from services.dashboard import data
from services.dashboard.client import Client
from tests.services.dashboard.support import FakeServices


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> FakeServices:
    """Services that answer what a test serves; nothing is kept from other tests."""
    fake = FakeServices()
    client = Client(Settings(), httpx.MockTransport(fake.answer))
    monkeypatch.setattr(data, "client", lambda: client)
    # Each run of a page would look through all installed packages for components.
    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", list)
    st.cache_data.clear()
    return fake
