"""The kinds of PostgreSQL that serve: the oldest and newest version, and one that is managed.

The managed one is as providers have it: its owner is no superuser and may make no roles,
connections must be encrypted, readers come through a pooler.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from pollux.runtime.postgres import binaries_dir
from tests.support.own_postgres import PROGRAMS, new_database, started_server
from tests.support.pgbouncer import PROGRAM, pooler
from tests.support.programs import free_port

MANAGED = "managed"
KINDS = ("oldest", "newest", MANAGED)
# By the names of the settings.
Urls = dict[str, str]
# Only encrypted connections, with a password.
ENCRYPTED = "hostssl all all 127.0.0.1/32 scram-sha-256"
ROLES = """
create role shop_owner login password 'o';
create role shop_reader login password 'r';
create role shop_events login password 'e';
create database shop owner shop_owner;
"""


@contextmanager
def serving_database(kind: str) -> Iterator[Urls]:
    """The URLs of an empty database on a new server of a kind; skips what is not installed."""
    programs = binaries_dir() if kind == "newest" else PROGRAMS
    if not programs.is_dir() or (kind == MANAGED and PROGRAM is None):
        pytest.skip(f"needs {programs} and PgBouncer")
    with _managed(programs) if kind == MANAGED else _own(programs) as urls:
        yield urls


@contextmanager
def _own(programs: Path) -> Iterator[Urls]:
    with started_server(programs) as server, new_database(server) as url:
        yield {"database_url": url}


@contextmanager
def _managed(programs: Path) -> Iterator[Urls]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="pc")))
        # PgBouncer reads it as another user.
        folder.chmod(0o755)
        authority = make_certificate(folder)
        authority.chmod(0o644)
        port = free_port()
        server = running.enter_context(
            started_server(
                programs,
                listens="localhost",
                port=port,
                access=ENCRYPTED,
                files=[authority, folder / "key.pem"],
                options=["ssl=on", "ssl_cert_file=../cert.pem", "ssl_key_file=../key.pem"],
            )
        )
        with psycopg.connect(server, autocommit=True) as superuser:
            for statement in ROLES.strip().splitlines():
                superuser.execute(statement.encode())
        place = f"host=localhost port={port} dbname=shop"
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(f"{place} user=shop_owner password=o sslmode=disable")
        encrypted = {"server_tls_sslmode": "verify-full", "server_tls_ca_file": str(authority)}
        reader = running.enter_context(
            pooler(
                f"{place} user=shop_reader password=r",
                free_port(),
                user="shop_reader",
                password="r",
                **encrypted,
            )
        )

        def url(user: str) -> str:
            verified = f"sslmode=verify-full&sslrootcert={authority}"
            return f"postgresql://shop_{user}:{user[0]}@localhost:{port}/shop?{verified}"

        yield {
            "database_url": url("owner"),
            "events_database_url": url("events"),
            "reader_url": reader,
        }


def make_certificate(folder: Path) -> Path:
    """A certificate that signs itself, as cert.pem with key.pem beside it."""
    folder.mkdir(exist_ok=True)
    run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*run, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"
