"""What running Dagster in a test process would leave behind."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def kept_handler() -> Iterator[None]:
    """Dagster makes SIGTERM what SIGINT is: ignored where tests were started in the background.

    A process that a later test starts would inherit that, and not end when it is told to.
    """
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
