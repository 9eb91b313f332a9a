"""Moves files so that a power cut or a full disk leaves either the old state or the new."""

import errno
import os
import shutil
import stat
from pathlib import Path

_MOVING = ".moving"


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Move a file, folder or link; a reader sees the old `target` or the whole new one.

    Across disks, `source` is copied, then the copy renamed. Raises `OSError`; `source` then stays.
    """
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV or not _is_copyable(source):
            raise
        copy = target.with_name(_MOVING)
        _remove(copy)
        try:
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, copy, symlinks=True)
            else:
                shutil.copy2(source, copy, follow_symlinks=False)
                if not copy.is_symlink():
                    sync(copy)
            copy.replace(target)
        except OSError:
            _remove(copy)
            raise
        sync(target.parent)
        _remove(source)
    else:
        sync(target.parent)


def _is_copyable(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
