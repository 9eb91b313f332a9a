"""The packets that a worker reads and writes for every event: PUBLISH and PUBACK.

Belongs here: their bytes, in MQTT 5 and 3.1.1. Does not belong here: any other packet, and what is
rare in a PUBLISH. There `read_publish` returns None, and paho is asked.
"""

from collections.abc import Iterable
from typing import NamedTuple

PUBLISH, PUBACK = 0x30, 0x40
RETAINED, QOS_1, QOS = 1, 2, 6
RESPONSE_TOPIC, CORRELATION_DATA, USER_PROPERTY = 8, 9, 38
# Of a length: seven bits a byte, four bytes at most.
LENGTH_BITS, LENGTH_BYTES = 7, 4
MORE = 1 << LENGTH_BITS


class MalformedLengthError(Exception):
    """A length of more bytes than MQTT has."""


class Delivery(NamedTuple):
    """A message that a broker delivers; `mid` is None if it expects no acknowledgement."""

    topic: str
    mid: int | None
    payload: bytes
    pairs: list[tuple[str, str]]
    response_topic: str | None = None
    correlation_data: bytes | None = None


def read_length(data: bytes, place: int) -> tuple[int, int] | None:
    """A length and the place behind it, or None if it goes on behind the end of the data.

    Raises `MalformedLengthError`.
    """
    length = shift = 0
    for at in range(place, len(data)):
        length |= (data[at] & MORE - 1) << shift
        if data[at] < MORE:
            return length, at + 1
        shift += LENGTH_BITS
        if shift == LENGTH_BITS * LENGTH_BYTES:
            raise MalformedLengthError
    return None


def read_publish(head: int, body: bytes, *, has_properties: bool) -> Delivery | None:
    """The message of a PUBLISH packet, by its first byte and what follows the length.

    None for one that is not plain: of QoS 2, with properties besides user properties, response
    topic and correlation data, or not as MQTT has it.
    """
    try:
        return _read_publish(head & QOS, body, has_properties=has_properties)
    except (IndexError, UnicodeDecodeError, MalformedLengthError):
        return None


def _read_publish(qos: int, body: bytes, *, has_properties: bool) -> Delivery | None:
    end = 2 + (body[0] << 8 | body[1])
    topic = body[2:end].decode()
    mid = None
    if qos:
        mid = body[end] << 8 | body[end + 1]
        end += 2
    if qos > QOS_1 or not topic or end > len(body):
        return None
    pairs: list[tuple[str, str]] = []
    if not has_properties:
        return Delivery(topic, mid, body[end:], pairs)
    found = read_length(body, end)
    if found is None:
        return None
    length, end = found
    stop = end + length
    response_topic = correlation_data = None
    while end < stop:
        kind = body[end]
        first = end + 3
        end = first + (body[end + 1] << 8 | body[end + 2])
        if kind == USER_PROPERTY:
            second = end + 2
            after = second + (body[end] << 8 | body[end + 1])
            pairs.append((body[first:end].decode(), body[second:after].decode()))
            end = after
        elif kind == RESPONSE_TOPIC and response_topic is None:
            response_topic = body[first:end].decode()
        elif kind == CORRELATION_DATA and correlation_data is None:
            correlation_data = body[first:end]
        else:
            return None
    if end != stop or stop > len(body):
        return None
    return Delivery(topic, mid, body[end:], pairs, response_topic, correlation_data)


def publish_packet(
    topic: bytes, mid: int, payload: bytes, properties: bytes, *, is_retained: bool = False
) -> bytes:
    """A PUBLISH packet of QoS 1; `properties` are `pack_properties`', and empty in MQTT 3.1.1."""
    size = len(topic) + len(properties) + len(payload) + 4
    return b"".join(
        (
            bytes((PUBLISH | QOS_1 | is_retained,)),
            _length(size),
            len(topic).to_bytes(2, "big"),
            topic,
            mid.to_bytes(2, "big"),
            properties,
            payload,
        )
    )


def puback_packet(mid: int) -> bytes:
    """A PUBACK packet that says that a message is done."""
    return b"\x40\x02" + mid.to_bytes(2, "big")


def pack_properties(pairs: Iterable[tuple[str, str]], correlation_data: bytes | None) -> bytes:
    """Properties of a PUBLISH packet of MQTT 5, with their length."""
    parts: list[bytes] = []
    for name, value in pairs:
        parts += (b"\x26", _with_length(name.encode()), _with_length(value.encode()))
    if correlation_data is not None:
        parts += (b"\x09", _with_length(correlation_data))
    packed = b"".join(parts)
    return _length(len(packed)) + packed


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _length(length: int) -> bytes:
    found = bytearray()
    while length >= MORE:
        found.append(length & MORE - 1 | MORE)
        length >>= LENGTH_BITS
    found.append(length)
    return bytes(found)
