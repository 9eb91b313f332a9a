"""Who may read what Pollux writes: its owner alone.

Files are made 0600, folders and sockets 0700: every program that `pollux` starts inherits the
umask that is set here.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o077

_mask_before = [PRIVATE]


def keep_private() -> None:
    """Makes new files of this process and its children readable by their user alone."""
    _mask_before[:] = [os.umask(PRIVATE)]


@contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """For files that a user writes outside the data folder: the user's own umask applies."""
    os.umask(_mask_before[0])
    try:
        yield
    finally:
        os.umask(PRIVATE)


def write_private(file: Path, content: bytes) -> None:
    """Writes a file that its owner alone reads; who reads it meanwhile finds the old or the new."""
    unfinished = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    unfinished.replace(file)


def close_folder(folder: Path) -> None:
    """Closes a data folder of an earlier Pollux, with all it holds, to other users.

    The folder itself comes last: while it is open, the next command starts over.
    """
    with suppress(FileNotFoundError):
        is_open = folder.stat().st_mode & PRIVATE
        if not is_open or folder.stat().st_uid != os.geteuid():
            return
        for path, folders, files in os.walk(folder):
            for name in (*folders, *files):
                # It belongs to another user, such as PostgreSQL's, or is gone by now.
                with suppress(PermissionError, FileNotFoundError):
                    _close(os.path.join(path, name))  # noqa: PTH118
        _close(folder)


def _close(path: str | Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode) and mode & PRIVATE:
        os.chmod(path, stat.S_IMODE(mode) & ~PRIVATE)  # noqa: PTH101
