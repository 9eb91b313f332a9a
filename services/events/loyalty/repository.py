"""What the loyalty list and conversions read and write in the database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from pollux.runtime.erasures import KEPT_OUT
from services.common.database import Database
from services.common.releases import Release
from services.events.database.dead_letters import UnreadableMessage
from services.events.database.outbox import EventAnswer, write_answers

HANDLED = """
select event_key from events.conversions where event_key = any($1)
union
select event_key from events.loyalty_list where event_key = any($1)
"""
RELEASED_MEMBERS = "select email from {schema}.members where email = any($1)"
MEMBERS = "select email from events.members where email = any($1)"
KEPT_OUT_EMAILS = f"""
select email from unnest($1::text[]) as member (email)
where {KEPT_OUT.format(kind="'member'", id="email")}
"""
CODES = "select promotion, email from events.promo_codes where email = any($1)"
LISTED = """
insert into events.loyalty_list (event_key, line, email, fb_user, insta_user, gender)
values ($1, $2, $3, $4, $5, $6)
"""
JOINED_BY_LIST = """
insert into events.members (email, fb_user, insta_user, gender, joined_by)
values ($1, $2, $3, $4, 'list')
on conflict (email) do update
set
    fb_user = coalesce(excluded.fb_user, members.fb_user),
    insta_user = coalesce(excluded.insta_user, members.insta_user),
    gender = coalesce(excluded.gender, members.gender),
    joined_by = 'list'
"""
JOINED_BY_PURCHASE = """
insert into events.members (email, joined_by) values ($1, 'purchase') on conflict do nothing
"""
CONVERTED = """
insert into events.conversions (
    event_key, line, promotion, conversion_type, email, channel, items, total, is_code_sent,
    is_new_member
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
CODE_SENT = "insert into events.promo_codes (promotion, email, answer_id) values ($1, $2, $3)"


@dataclass(slots=True)
class Effects:
    """What a group of messages leads to, as rows of tables; the order is that of arrival."""

    listed: list[tuple[object, ...]] = field(default_factory=list)
    joined_by_list: list[tuple[object, ...]] = field(default_factory=list)
    joined_by_purchase: list[tuple[object, ...]] = field(default_factory=list)
    converted: list[tuple[object, ...]] = field(default_factory=list)
    codes: list[tuple[object, ...]] = field(default_factory=list)
    answers: list[tuple[UUID, EventAnswer]] = field(default_factory=list)
    unreadable: list[UnreadableMessage] = field(default_factory=list)


async def read_released_members(
    database: Database, release: Release, emails: Sequence[str]
) -> set[str]:
    """Which of these emails are members' in a release; raises as `Database.fetch` does."""
    sql = RELEASED_MEMBERS.format(schema=release.schema)
    return {row[0] for row in await database.fetch(sql, list(emails))}


async def read_members(connection: asyncpg.Connection, emails: Sequence[str]) -> set[str]:
    """Which of these emails joined through an event."""
    return {row[0] for row in await connection.fetch(MEMBERS, emails)}


async def read_kept_out(connection: asyncpg.Connection, emails: Sequence[str]) -> set[str]:
    """Which of these emails are those of members who were erased."""
    return {row[0] for row in await connection.fetch(KEPT_OUT_EMAILS, emails)}


async def read_codes(connection: asyncpg.Connection, emails: Sequence[str]) -> set[tuple[str, ...]]:
    """Promotion and email of the codes that these members were sent."""
    return {tuple(row) for row in await connection.fetch(CODES, emails)}


async def write_effects(connection: asyncpg.Connection, worker: str, effects: Effects) -> None:
    """Writes what a group of messages leads to, except the dead letters."""
    for sql, rows in (
        (LISTED, effects.listed),
        (JOINED_BY_LIST, effects.joined_by_list),
        (JOINED_BY_PURCHASE, effects.joined_by_purchase),
        (CONVERTED, effects.converted),
        (CODE_SENT, effects.codes),
    ):
        if rows:
            await connection.executemany(sql, rows)
    if effects.answers:
        await write_answers(connection, worker, effects.answers)
