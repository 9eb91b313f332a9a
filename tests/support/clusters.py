"""Database clusters of tests: copies of one that is made once per run, which takes a second."""

import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from pollux.runtime.postgres import EmbeddedPostgres

initialise = EmbeddedPostgres._initialise


def copy_clusters(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Lets every server that this process makes begin with a copy of the one of `folder`."""
    template = EmbeddedPostgres(folder)

    def copy(server: EmbeddedPostgres) -> None:
        with FileLock(folder.with_suffix(".lock")):
            if not template.exists():
                folder.mkdir(exist_ok=True)
                template._make_home()
                initialise(template)
        shutil.rmtree(server.cluster, ignore_errors=True)
        copy_as_is(template.cluster, server.cluster)

    patch.setattr(EmbeddedPostgres, "_initialise", copy)


def copy_as_is(source: Path, target: Path) -> None:
    """Copies a folder with its owners: root's server runs as a system user, who owns its files."""
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)
