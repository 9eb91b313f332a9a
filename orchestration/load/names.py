"""File names that are not UTF-8, hold invisible characters or are too long.

`shown` writes a name for people, `safe_name` makes one for Pollux's own files.
"""

import hashlib
import os
import re

# The longest name that every common file system takes, in bytes.
LONGEST = 255

_DIGEST_CHARACTERS = 12
# How `safe_name` ends a changed name; a source file with such a name gets a digest too.
_LIKE_SAFE = re.compile(rf"~[0-9a-f]{{{_DIGEST_CHARACTERS}}}$")
# Engines skip files that begin with these; the empty part begins with one, too.
_HIDDEN = (".", "_")


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a name on one line of visible characters: a byte that is not UTF-8 as \xfc."""
    return "".join(c if c.isprintable() else _escaped(c) for c in os.fspath(name))


def safe_name(name: str, more: int) -> str:
    """Return a name for Pollux's own file made from a file of this name.

    It is the same name where possible. It is UTF-8, seen by every engine, and leaves room for
    `more` bytes. Different names stay different: a changed name ends in a digest.
    """
    is_utf8 = not any("\ud800" <= c <= "\udfff" for c in name)
    # DuckDB's glob patterns skip a name with a backslash.
    is_seen = not name.startswith(_HIDDEN) and "\\" not in name
    fits = len(os.fsencode(name)) + more <= LONGEST
    if is_utf8 and is_seen and fits and not _LIKE_SAFE.search(name):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGEST_CHARACTERS]
    text = "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in name)
    text = text.replace("\\", "%5C")
    if text.startswith(_HIDDEN):
        text = f"%{ord(text[0]):02X}{text[1:]}"
    room = LONGEST - more - _DIGEST_CHARACTERS - 1
    return f"{text.encode()[:room].decode(errors='ignore')}~{digest}"


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
