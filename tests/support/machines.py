"""Machines without anything of ours: a Debian that is made here, and programs in a root of its own.

Belongs here: making and entering them; no registry of images and no engine is needed. Does not
belong here: what runs there.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import PROJECT_DIR

PROGRAMS = ("buildah", "mmdebstrap", "unshare", "nsenter", "ip")
REASON = "needs root, buildah and mmdebstrap"
# Of this machine, if it has it: an authority of its own.
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE")
ENVIRONMENT = os.environ | {"BUILDAH_ISOLATION": "chroot"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def can_be_made() -> bool:
    """Whether this user may make machines, and has what it takes."""
    return os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


def run(*command: object) -> str:
    """What a program prints; fails, with what it said, where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=PROJECT_DIR,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def make_debian(name: str, packages: str) -> str:
    """An image of Debian's essential packages and some more, which is made once on a machine.

    Debian changes more slowly than Pollux.
    """
    image = f"localhost/pollux-test-{name}"
    if not run("buildah", "images", "--quiet", "--filter", f"reference={image}"):
        with tempfile.TemporaryDirectory() as folder:
            system = Path(folder) / "system.tar"
            options = ["--quiet", "--variant=minbase", f"--include={packages}"]
            # As this machine fetches: by a proxy, or from a mirror that stands still.
            known = run("apt-config", "dump").splitlines()
            fetching = re.compile(r"Acquire::(?:https?|Check-)")
            options += [f"--aptopt={line}" for line in known if fetching.match(line)]
            run("mmdebstrap", *options, "stable", system)
            container = run("buildah", "from", "scratch")
            run("buildah", "add", "--quiet", container, system, "/")
            run("buildah", "commit", "--quiet", "--rm", container, image)
    return image


@contextmanager
def machine(image: str) -> Iterator[Path]:
    """The root of a new machine."""
    container = run("buildah", "from", "--pull-never", image)
    try:
        yield Path(run("buildah", "mount", container))
    finally:
        run("buildah", "rm", container)


def inside(
    root: Path,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    user: str = "root",
    folder: str = "/",
    binds: Mapping[str, Path] | None = None,
    is_read_only: bool = False,
    umask: str = "022",
) -> list[str]:
    """The command that runs another in a root, and in mounts of its own.

    `binds` are files and folders of this machine by their places there. Where the root is read-only
    only they and a /tmp of its own can be written.
    """
    mounted = {f"{root}/{place.strip('/')}": source for place, source in (binds or {}).items()}
    lines = ["set -e"]
    for place, source in mounted.items():
        lines.append(f"mkdir -p {place}" if source.is_dir() else f"touch {place}")
    lines.append(f"mount --bind {root} {root}")
    lines += [f"mount --rbind /{name} {root}/{name}" for name in ("dev", "sys")]
    lines.append(f"mount -t proc proc {root}/proc")
    lines += [f"mount --bind {source} {place}" for place, source in mounted.items()]
    if is_read_only:
        lines.append(f"mount -t tmpfs -o mode=1777 tmp {root}/tmp")
        # Last: what is bound from a read-only mount would be read-only, too.
        lines.append(f"mount -o remount,bind,ro {root}")
    variables = [f"{name}={value}" for name, value in environment.items()]
    entered = ["chroot", f"--userspec={user}", root, "env", "-i", "-C", folder, *variables]
    lines += [f"umask {umask}", f"exec {shlex.join(map(str, [*entered, *command]))}"]
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines)]


def beside(
    process: int, command: Sequence[str], *, environment: Mapping[str, str], user: int
) -> list[str]:
    """The command that runs another where a process that began `inside` is."""
    entered = ["nsenter", f"--target={process}", "--mount", "--root", "--wd"]
    entered += [f"--setgid={user}", f"--setuid={user}", "env", "-i"]
    return [*entered, *(f"{name}={value}" for name, value in environment.items()), *command]
