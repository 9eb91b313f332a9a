"""PgBouncer between a service and its database, as operators have it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
START_SECONDS = 20
NAME = "pooled"


@contextmanager
def pooler(
    database: str,
    port: int,
    *,
    mode: str = "transaction",
    user: str = "postgres",
    password: str = "",
    **settings: str,
) -> Iterator[str]:
    """The URL of a database through a PgBouncer of one server connection per pool.

    The one connection is the hardest case: whatever a client leaves there is the next one's.
    """
    assert PROGRAM is not None
    folder = Path(tempfile.mkdtemp(prefix="pb"))
    # It does not run as root.
    runs_as = "postgres" if os.geteuid() == 0 else None
    if runs_as:
        shutil.chown(folder, runs_as)
    (folder / "users").write_text(f'"{user}" "{password}"\n')
    asked = {"auth_type": "plain", "auth_file": f"{folder}/users"}
    known = asked if password else {"auth_type": "any"}
    given = {**known, "default_pool_size": "1", **settings}
    lines = [
        "[databases]",
        f"{NAME} = {make_conninfo(**{**conninfo_to_dict(database), 'application_name': None})}",
        f"nowhere = {make_conninfo(**{**conninfo_to_dict(database), 'dbname': 'not_there'})}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        f"pool_mode = {mode}",
        f"logfile = {folder}/log",
        *(f"{name} = {value}" for name, value in given.items()),
    ]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [PROGRAM, "-q", folder / "pgbouncer.ini"], user=runs_as, cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        url = f"postgresql://{user}{password and ':'}{password}@127.0.0.1:{port}/{NAME}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
