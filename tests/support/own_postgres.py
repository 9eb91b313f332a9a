"""A user's own PostgreSQL server: not embedded, and of the oldest supported version."""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

VARIABLE = "POLLUX_TEST_DATABASE_URL"
# Where packages of Debian and postgresql.org install version 15.
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"
START_SECONDS = 60


@contextmanager
def own_server() -> Iterator[str | None]:
    """The URL of a server: from the variable, else Debian's version 15, else none."""
    if url := os.environ.get(VARIABLE):
        yield url
    elif PROGRAMS.is_dir():
        with started_server(PROGRAMS) as url:
            yield url
    else:
        yield None


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The URL of an empty database on a server; it is dropped at the end."""
    name = f"pollux_test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))


@contextmanager
def started_server(
    programs: Path,
    *,
    listens: str = "",
    port: int = 5432,
    access: str = "",
    files: Sequence[Path] = (),
    options: Sequence[str] = (),
) -> Iterator[str]:
    """The superuser's URL of a new server, over a unix socket; PostgreSQL does not run as root.

    It also listens at `port` of an address (`listens`), to whom the lines of `access` (of
    pg_hba.conf) let in, and finds copies of `files` in its folder, beside the cluster.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = OWNER if os.geteuid() == 0 else None
    for file in files:
        Path(shutil.copy(file, folder)).chmod(0o600)
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)

    def run(program: str, *arguments: str) -> None:
        command = [programs / program, "-D", folder / "cluster", *arguments]
        subprocess.run(command, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)

    run("initdb", "--auth=trust", f"--username={OWNER}", "--encoding=UTF8", "--no-sync")
    if access:
        (folder / "cluster" / "pg_hba.conf").write_text(f"local all all trust\n{access}\n")
    # The shell ends the server when its input closes: when this process ends, in any way.
    command = [str(programs / "postgres"), "-D", str(folder / "cluster"), "-k", str(folder)]
    command += ["-p", str(port)]
    for option in (f"listen_addresses={listens}", "fsync=off", *options):
        command += ["-c", option]
    script = f"{shlex.join(command)} >{folder}/log 2>&1 </dev/null & cat; kill -QUIT $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], user=user, cwd="/", stdin=subprocess.PIPE)
    try:
        url = f"postgresql://{OWNER}@/postgres?host={quote(str(folder), safe='')}&port={port}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        shell.communicate()
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
