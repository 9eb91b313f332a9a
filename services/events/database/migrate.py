"""The schema `events`: made and brought up to date when the service starts.

Belongs here: running `migrations/` in order, each once. Does not belong here: what they make.
"""

from pathlib import Path

import psycopg

MIGRATIONS = Path(__file__).parent / "migrations"
# Any number of ours: whoever holds it migrates.
LOCK = 7_655_901


def migrate(connection: psycopg.Connection) -> list[str]:
    """Runs what has not run yet, all or nothing; returns the names of what ran.

    Two that start at once run one after the other. What is in the tables stays.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute("create schema if not exists events")
        connection.execute(
            "create table if not exists events.migrations (name text primary key, "
            "applied_at timestamptz not null default clock_timestamp())"
        )
        rows = connection.execute("select name from events.migrations").fetchall()
        done = {name for (name,) in rows}
        files = [file for file in sorted(MIGRATIONS.glob("*.sql")) if file.stem not in done]
        for file in files:
            connection.execute(file.read_text(encoding="utf-8").encode())
            connection.execute("insert into events.migrations (name) values (%s)", [file.stem])
    return [file.stem for file in files]
