"""Keys of events and answers, which stay the same however often a message arrives."""

from hashlib import sha256
from uuid import UUID


def event_key(topic: str, payload: bytes, event_id: str | None) -> UUID:
    """The key of an event, made from topic and `event-id`, or else from topic and payload.

    A payload's `id` is the customer's, not the event's.
    """
    if event_id is not None:
        return _uuid(b"id", topic.encode(), event_id.encode())
    return _uuid(b"payload", topic.encode(), payload)


def answer_id(event: UUID, what: str) -> UUID:
    """The id of an event's answer; `what` tells apart several answers to one event."""
    return _uuid(b"answer", event.bytes, what.encode())


def line_key(event: UUID, line: int) -> UUID:
    """The key of one line of an event."""
    return _uuid(b"line", event.bytes, str(line).encode())


def content_key(content: bytes) -> UUID:
    """The key of a document: the same for the same bytes."""
    return _uuid(b"content", content)


def _uuid(*parts: bytes) -> UUID:
    digest = sha256()
    for part in parts:
        # With its length before it, no part can run into the next.
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return UUID(bytes=digest.digest()[:16])
