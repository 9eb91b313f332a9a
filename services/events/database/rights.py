"""What the event service's role may do in schema `events`: what its statements need, and no more.

A migration that adds a table adds its rights here.
"""

import psycopg
from psycopg import sql

from pollux.runtime import webhooks
from pollux.runtime.serving import ServingStore

# `migrations` is the owner's alone.
RIGHTS = {
    "identity": "select",
    "workers": "select, insert, delete",
    "inbox": "select, insert, delete",
    "decisions": "select, insert",
    "contexts": "select, insert, update, delete",
    "loyalty_list": "select, insert",
    "conversions": "select, insert",
    "basket_lines": "select, insert",
    "order_lines": "select, insert",
    "members": "select, insert, update",
    "promo_codes": "select, insert",
    "segment_changes": "select, insert, delete",
    "documents": "select, insert, delete",
    "outbox": "select, insert, update, delete",
    "dead_letter": "select, insert, update, delete",
}


def grant_rights(connection: psycopg.Connection, serving_store: ServingStore) -> None:
    """Gives the role its rights, and takes those of earlier versions; within a transaction."""
    role = sql.Identifier(serving_store.events_role)
    statements = [
        "revoke all on all tables in schema events from {role}",
        "grant usage on schema events to {role}",
        # Who was erased is not taken in again.
        "grant usage on schema erasure to {role}",
        "grant select on erasure.suppressed, erasure.salt to {role}",
        *(f"grant {rights} on events.{table} to {{role}}" for table, rights in RIGHTS.items()),
    ]
    connection.execute(sql.SQL("; ".join(statements)).format(role=role))
    webhooks.grant_delivery(connection, serving_store.events_role)
