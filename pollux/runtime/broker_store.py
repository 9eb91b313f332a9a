"""Messages that the own broker keeps for clients who are away: reading them, taking some out.

Belongs here: the file in which Mosquitto keeps them. Does not belong here: the broker's process
(`broker`), and whom a message names.

The file is a row of chunks, each with its kind and its length before it. A message is kept once,
and who waits for it has its number. Mosquitto writes the file anew every second from its memory, so
it can be changed only while the broker does not run.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pollux.runtime.privacy import write_private
from pollux.runtime.settings import Settings

BEGINNING = b"\x00\xb5\x00mosquitto db"
# Its beginning, a sum that is not used, and the version of the format: that of Mosquitto 1.6 to 2.
HEADER, VERSIONS = struct.Struct(f">{len(BEGINNING)}s4xI"), (5, 6)
CHUNK = struct.Struct(">II")
MESSAGE, WAITING, RETAINED = 2, 3, 4
# Of a message: its number, and the lengths of payload, sender, sender's name and topic.
MESSAGE_FIELDS = struct.Struct(">8s8xI2xHHH4x")


class Chunk(NamedTuple):
    """A part of the file; of a message and of who waits for it, `number` tells which."""

    kind: int
    content: bytes

    @property
    def number(self) -> bytes:
        """Which message it is, or is about."""
        return self.content[:8]

    @property
    def payload(self) -> bytes:
        """What a message says."""
        _, length, *before = MESSAGE_FIELDS.unpack_from(self.content)
        begins = MESSAGE_FIELDS.size + sum(before)
        return self.content[begins : begins + length]


def store_of(settings: Settings) -> Path:
    """The file, which is there once Mosquitto has run."""
    return settings.data_dir / "broker" / "mosquitto.db"


def read_payloads(path: Path) -> Iterator[bytes]:
    """What the messages say; none where there is no such file, or one of another format."""
    return (chunk.payload for chunk in _read(path) if chunk.kind == MESSAGE)


def drop_messages(path: Path, is_dropped: Callable[[bytes], bool]) -> int:
    """Writes the file anew without the messages that say such; returns how many those were.

    The broker must not run.
    """
    chunks = list(_read(path))
    dropped = {
        chunk.number for chunk in chunks if chunk.kind == MESSAGE and is_dropped(chunk.payload)
    }
    if dropped:
        about = (MESSAGE, WAITING, RETAINED)
        kept = [one for one in chunks if one.kind not in about or one.number not in dropped]
        parts = [CHUNK.pack(one.kind, len(one.content)) + one.content for one in kept]
        write_private(path, path.read_bytes()[: HEADER.size] + b"".join(parts))
    return len(dropped)


def _read(path: Path) -> Iterator[Chunk]:
    content = path.read_bytes() if path.exists() else b""
    if len(content) < HEADER.size:
        return
    beginning, version = HEADER.unpack_from(content)
    place = HEADER.size
    while beginning == BEGINNING and version in VERSIONS and place < len(content):
        kind, length = CHUNK.unpack_from(content, place)
        place += CHUNK.size
        yield Chunk(kind, content[place : place + length])
        place += length
