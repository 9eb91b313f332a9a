"""Makes paho read messages whose properties it refuses, although a broker delivers them.

paho closes the connection over such a property, and the broker sends the message again on the next
connection: a single message would stop a worker for good. Seen with paho 2.2 and Mosquitto 2.0.
"""

from typing import Any

from paho.mqtt import properties
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.properties import Properties, VariableByteIntegers

LENGTH_BYTES = 2

_unpack = Properties.unpack


def patch_paho() -> None:
    """Makes paho read texts with U+FEFF, which are legal, and skip properties that are not."""
    properties.readUTF = _read_text
    Properties.unpack = _unpack_what_is_legal  # type: ignore[method-assign]


def _read_text(buffer: bytes, left: int) -> tuple[str, int]:
    end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")
    if end > left:
        raise MalformedPacket("a text is longer than the properties")
    return buffer[LENGTH_BYTES:end].decode(), end


def _unpack_what_is_legal(self: Properties, buffer: bytes) -> tuple[Properties, int]:
    try:
        found: tuple[Properties, int] = _unpack(self, buffer)  # type: ignore[no-untyped-call]
    except Exception:
        # The message without its properties, whose length stands before them.
        self.clear()  # type: ignore[no-untyped-call]
        length: Any
        length, used = VariableByteIntegers.decode(buffer)  # type: ignore[no-untyped-call]
        return self, length + used
    return found
