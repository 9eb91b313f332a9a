"""Who may read what Pollux writes: its owner alone.

Belongs here: the one place where that is decided. Files are made 0600 and folders 0700, sockets
too, since every program that `pollux` starts inherits the mask.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o077

_mask_before = [PRIVATE]


def keep_private() -> None:
    """From now on, what this process and those that it starts make is their user's alone."""
    _mask_before[:] = [os.umask(PRIVATE)]


@contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """For files that somebody asked for outside the data folder: readable as their others are."""
    os.umask(_mask_before[0])
    try:
        yield
    finally:
        os.umask(PRIVATE)


def close_folder(folder: Path) -> None:
    """Closes a data folder of an earlier Pollux to other users, with all that is in it.

    The folder itself last: as long as it is open, the next command begins again.
    """
    with suppress(FileNotFoundError):
        is_open = folder.stat().st_mode & PRIVATE
        if not is_open or folder.stat().st_uid != os.geteuid():
            return
        for path, folders, files in os.walk(folder):
            for name in (*folders, *files):
                # Of another user, such as the one PostgreSQL runs as; or gone by now.
                with suppress(PermissionError, FileNotFoundError):
                    _close(os.path.join(path, name))  # noqa: PTH118
        _close(folder)


def _close(path: str | Path) -> None:
    mode = os.lstat(path).st_mode
    if not stat.S_ISLNK(mode) and mode & PRIVATE:
        os.chmod(path, stat.S_IMODE(mode) & ~PRIVATE)  # noqa: PTH101
