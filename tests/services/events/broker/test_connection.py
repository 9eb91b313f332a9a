"""A connection to a broker: what it needs before it can be opened, and what is too long for it."""

import pytest

from services.events.broker.connection import (
    OVERHEAD,
    V5,
    BrokerConnection,
    BrokerRefusesError,
    Login,
    TooLongError,
)
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


def test_what_is_sent_back_counts_for_the_length() -> None:
    async def work() -> None:
        connection = BrokerConnection(Login("me"), V5, on_message=lambda _message: None)
        topic, payload, echoed = "reply", b"x" * 50, {"event-id": "\u00e4" * 5}
        connection.maximum_packet_size = 5 + 50 + 10 + 7 + OVERHEAD
        # It fits, but there is no connection yet.
        assert connection.publish(topic, payload, echoed, b"c" * 7) is None
        with pytest.raises(TooLongError, match=f"{73 + OVERHEAD} bytes; the broker takes"):
            connection.publish(topic, payload, echoed, b"c" * 8)

    run(work)
