"""Packets are read and written as paho does, or left to it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import PublishPacket, decode_publish
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from services.events.broker.connection import V5, V311
from services.events.broker.packets import (
    MalformedLengthError,
    pack_properties,
    puback_packet,
    publish_packet,
    read_length,
    read_publish,
)

QOS_0, QOS_1, QOS_2 = 0x30, 0x32, 0x34
topics = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
pairs = st.lists(st.tuples(texts, texts), max_size=5)
correlations = st.none() | st.binary(max_size=40)


def as_paho_reads(head: int, body: bytes, protocol: int) -> PublishPacket | None:
    try:
        return decode_publish(head, body, protocol)
    except MalformedPacket:
        return None


def properties_of(user: list[tuple[str, str]], **more: Any) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    if user:
        properties.UserProperty = user
    for name, value in more.items():
        setattr(properties, name, value)
    return properties


def body_of(topic: str, properties: bytes, payload: bytes, *, qos: int = 1) -> bytes:
    name = topic.encode()
    mid = b"\x01\x02" if qos else b""
    return len(name).to_bytes(2, "big") + name + mid + properties + payload


@given(topics, pairs, st.none() | texts, correlations, st.binary(max_size=300))
def test_plain_messages_are_read_as_paho_reads_them(
    topic: str,
    user: list[tuple[str, str]],
    response: str | None,
    correlation: bytes | None,
    payload: bytes,
) -> None:
    more = {"ResponseTopic": response, "CorrelationData": correlation}
    given_ = {name: value for name, value in more.items() if value is not None}
    body = body_of(topic, properties_of(user, **given_).pack(), payload)
    found = read_publish(QOS_1, body, has_properties=True)
    assert found == (topic, 258, payload, user, response, correlation)


@given(
    st.sampled_from([QOS_0, QOS_1, QOS_1 | 8, QOS_1 | 1, QOS_2, 0x36]),
    st.builds(
        lambda topic, user, more, payload: body_of(
            topic, properties_of(user, **more).pack(), payload
        ),
        topics,
        pairs,
        st.fixed_dictionaries(
            {},
            optional={
                "PayloadFormatIndicator": st.integers(0, 1),
                "MessageExpiryInterval": st.integers(0, 2**32 - 1),
                "ContentType": texts,
                "ResponseTopic": texts,
                "CorrelationData": st.binary(max_size=20),
                "SubscriptionIdentifier": st.integers(1, 2**21),
            },
        ),
        st.binary(max_size=20),
    ),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3),
    st.integers(0, 80) | st.none(),
    st.sampled_from([V5, V311]),
)
def test_what_is_read_of_any_bytes_is_what_paho_reads(
    head: int,
    body: bytes,
    changes: list[tuple[int, int]],
    length: int | None,
    protocol: int,
) -> None:
    changed = bytearray(body)
    for place, byte in changes:
        if place < len(changed):
            changed[place] = byte
    message = bytes(changed[:length])
    found = read_publish(head, message, has_properties=protocol == V5)
    if found is None:
        # paho is asked.
        return
    other = as_paho_reads(head, message, protocol)
    assert other is not None
    properties = other.properties
    assert found == (
        other.topic.decode(),
        other.mid if other.qos else None,
        other.payload,
        list(getattr(properties, "UserProperty", [])),
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
    )


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (QOS_2, body_of("a", b"\0", b"x")),
        # A topic alias, and a format that no message has.
        (QOS_1, body_of("", b"\x03\x23\0\1", b"x")),
        (QOS_1, body_of("a", b"\x02\x01\x02", b"x")),
        # Two response topics.
        (QOS_1, body_of("a", b"\x08\x08\0\1b\x08\0\1c", b"x")),
        # Longer than the packet, and no UTF-8.
        (QOS_1, body_of("a", b"\x09\x26\0\1b\0\x09c", b"x")),
        (QOS_1, body_of("a", b"\x07\x26\0\1\xff\0\1c", b"x")),
        (QOS_1, b"\0\1a\0"),
        (QOS_1, b""),
    ],
)
def test_what_is_not_plain_is_left_to_paho(head: int, body: bytes) -> None:
    assert read_publish(head, body, has_properties=True) is None


@given(topics, pairs, correlations, st.binary(max_size=20_000), st.booleans(), st.booleans())
def test_paho_reads_what_is_written(
    topic: str,
    user: list[tuple[str, str]],
    correlation: bytes | None,
    payload: bytes,
    is_v5: bool,
    is_retained: bool,
) -> None:
    packed = pack_properties(user, correlation) if is_v5 else b""
    packet = publish_packet(topic.encode(), 258, payload, packed, is_retained=is_retained)
    found = read_length(packet, 1)
    assert found is not None
    length, start = found
    assert start + length == len(packet)
    read = decode_publish(packet[0], packet[start:], V5 if is_v5 else V311)
    assert (read.topic, read.mid, read.payload) == (topic.encode(), 258, payload)
    assert (read.dup, read.qos, read.retain) == (False, 1, is_retained)
    if is_v5:
        assert list(getattr(read.properties, "UserProperty", [])) == user
        assert getattr(read.properties, "CorrelationData", None) == correlation


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00", (0, 1)),
        (b"\x7f", (127, 1)),
        (b"\x80\x01", (128, 2)),
        (b"\xff\xff\xff\x7f", (268_435_455, 4)),
        (b"", None),
        (b"\xff\xff", None),
    ],
)
def test_a_length_has_seven_bits_a_byte(data: bytes, expected: tuple[int, int] | None) -> None:
    assert read_length(data, 0) == expected


def test_a_length_has_four_bytes_at_most() -> None:
    with pytest.raises(MalformedLengthError):
        read_length(b"\x80\x80\x80\x80\x01", 0)


def test_an_acknowledgement_names_its_packet() -> None:
    assert puback_packet(0x1234) == b"\x40\x02\x12\x34"
