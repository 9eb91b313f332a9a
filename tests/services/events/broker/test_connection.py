"""A connection to a broker: what it needs before it can be opened."""

import pytest

from services.events.broker.connection import V5, BrokerConnection, BrokerRefusesError, Login
from tests.services.events.doubles import run


def test_certificates_that_cannot_be_read_are_named() -> None:
    async def work() -> None:
        with pytest.raises(
            BrokerRefusesError, match=r"MQTT_BROKER_CERT_FILE /nowhere\.pem cannot be used: No such"
        ) as caught:
            BrokerConnection(
                Login("me", certificates="/nowhere.pem"), V5, on_message=lambda _message: None
            )
        assert caught.value.exit_code == 3

    run(work)
