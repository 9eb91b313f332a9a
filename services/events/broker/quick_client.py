"""paho's client with a quick way for the packets of events.

Belongs here: reading whatever has arrived with one call of the system, sending whatever is ready
with one, and PUBLISH and PUBACK packets (`packets`). Does not belong here: all other packets, which
paho goes on handling, as it does unusual messages.

paho takes three calls to read a packet and one to send it, and a tenth of a millisecond of Python
for a message in either direction.
"""

import time
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from services.events.broker.packets import (
    PUBACK,
    PUBLISH,
    Delivery,
    MalformedLengthError,
    read_length,
    read_publish,
)

CHUNK = 2**16
SHORTEST_PUBACK = 2
KIND = 0xF0

DONE, LOST = MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_CONN_LOST
WRONG = MQTTErrorCode.MQTT_ERR_PROTOCOL


class QuickClient(Client):
    """A client for one connection, driven by `loop_read`, `loop_write` and `loop_misc`.

    `on_delivery` gets plain messages, and paho's `on_message` those that only paho reads;
    `on_acknowledged` gets the number and the reason code of each message that `send` sent.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - paho's
        on_delivery: Callable[[Delivery], None],
        on_acknowledged: Callable[[int, int], None],
        **more: Any,  # noqa: ANN401 - paho's
    ) -> None:
        super().__init__(*args, **more)
        self._on_delivery = on_delivery
        self._on_acknowledged = on_acknowledged
        self._has_properties = self._protocol == MQTTProtocolVersion.MQTTv5
        # The beginning of a packet, as it was read, and the least that is missing of it.
        self._parts: list[bytes] = []
        self._missing = 0
        self._leaving = bytearray()

    def next_mid(self) -> int:
        """A number for a packet, which may still be in use after 65,535 others."""
        return self._mid_generate()

    def send(self, packet: bytes) -> None:
        """Sends a packet with the next `loop_write`."""
        self._leaving += packet
        self._call_socket_register_write()

    def want_write(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._leaving) or super().want_write()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - paho's
        """Reads what has arrived and handles each whole packet."""
        try:
            data = self._sock_recv(CHUNK)
        except BlockingIOError:
            return DONE
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(LOST)
        self._last_bytes_received = time.monotonic()
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            # Joined once: with each read, a long packet would be copied as often as it is read.
            return DONE
        arrived = b"".join(self._parts) if len(self._parts) > 1 else data
        place, missing = 0, 1
        try:
            while self._sock is not None:
                found = read_length(arrived, place + 1)
                if found is None:
                    break
                length, start = found
                end = start + length
                if end > len(arrived):
                    missing = end - len(arrived)
                    break
                head, place = arrived[place], end
                code = self._handle(head, arrived[start:end])
                if code != DONE:
                    return self._loop_rc_handle(code)
        except MalformedLengthError:
            return self._loop_rc_handle(WRONG)
        finally:
            # Also if a message broke its handler: the next read goes on behind it.
            self._parts = [arrived[place:]] if place < len(arrived) else []
            self._missing = missing
        return DONE

    def _handle(self, head: int, body: bytes) -> MQTTErrorCode:
        kind = head & KIND
        if kind == PUBLISH:
            delivery = read_publish(head, body, has_properties=self._has_properties)
            if delivery is not None:
                self._on_delivery(delivery)
                return DONE
        elif kind == PUBACK:
            if len(body) < SHORTEST_PUBACK:
                return WRONG
            code = body[SHORTEST_PUBACK] if len(body) > SHORTEST_PUBACK else 0
            self._on_acknowledged(body[0] << 8 | body[1], code)
            return DONE
        self._in_packet["command"] = head
        self._in_packet["remaining_length"] = len(body)
        self._in_packet["packet"] = bytearray(body)
        try:
            return self._packet_handle()
        except MalformedPacket:
            return WRONG

    def _packet_write(self) -> MQTTErrorCode:
        code = super()._packet_write()
        if code != DONE or self._sock is None:
            return code
        try:
            self._flush()
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError:
            return LOST
        return DONE

    def _sock_send(self, buf: bytes | bytearray) -> int:
        # Behind what waits; at once, since paho closes the socket behind its last packet.
        self._leaving += buf
        try:
            self._flush()
        except BlockingIOError:
            self._call_socket_register_write()
        return len(buf)

    def _flush(self) -> None:
        while self._leaving:
            sent = super()._sock_send(self._leaving)
            del self._leaving[:sent]
            self._last_msg_out = time.monotonic()
