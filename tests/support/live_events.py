"""What the event service took in, as its tables have it, written without the service."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from services.events.database.migrate import migrate

Row = Mapping[str, Any]


def make_events_schema(connection: psycopg.Connection[Any]) -> None:
    """The tables, empty; whatever was there is gone."""
    connection.execute("drop schema if exists events cascade")
    assert migrate(connection)


def take_in(connection: psycopg.Connection[Any], table: str, rows: Sequence[Row]) -> None:
    """Writes rows in order, each an event of its own; what is not given has a plain value."""
    for row in rows:
        values = PLAIN[table] | {"event_key": uuid4()} | dict(row)
        connection.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier("events", table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )


PLAIN: dict[str, dict[str, Any]] = {
    "decisions": {
        "kind": "entry",
        "customer_id": 1,
        "event_at": "2026-11-20T10:00:00Z",
        "event_date": "2026-11-20",
        "outcome": "prepared",
    },
    "loyalty_list": {"line": 1, "email": "a@b.c"},
    "conversions": {
        "line": 1,
        "promotion": "Hoodie",
        "conversion_type": "click",
        "email": "a@b.c",
        "is_code_sent": False,
        "is_new_member": False,
    },
}
