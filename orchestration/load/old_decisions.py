"""Decisions of the event service that are too old: their parts, and the rows that have landed.

The owner deletes the rows: the event service's own role may not.
"""

from datetime import datetime, timedelta

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.event_datasets import EVENTS, last_number
from orchestration.load.landing import Part
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

# As many as one statement deletes in a moment.
AT_ONCE = 10_000
# Numbers grow with the time of the decision, of which there is no index.
DELETE = f"""
delete from events.decisions where number = any(array(
    select number from (
        select number, decided_at from events.decisions
        where number <= %s order by number limit {AT_ONCE}
    ) as first where decided_at < %s
))
"""


def old_parts(settings: Settings, now: datetime) -> list[Part]:
    """Landed parts that are older than the setting says, but for the newest."""
    before = _before(settings, now)
    if before is None:
        return []
    # The newest says up to which number rows have landed.
    found = _parts(settings)[:-1]
    return [part for part in found if datetime.fromisoformat(part.loaded_at) < before]


def delete_rows(settings: Settings, now: datetime) -> int:
    """Deletes rows that have landed and are older than the setting says; returns how many.

    Raises `PolluxError` or `psycopg.Error`.
    """
    before, parts = _before(settings, now), _parts(settings)
    if before is None or not parts or not find_serving_store(settings).is_made():
        return 0
    landed = last_number(parts[-1])
    deleted = 0
    with open_serving_store(settings).connect(autocommit=True) as connection:
        while found := connection.execute(DELETE.encode(), [landed, before]).rowcount:
            deleted += found
    return deleted


def _before(settings: Settings, now: datetime) -> datetime | None:
    days = settings.decisions_retention_days
    return None if days is None else now - timedelta(days=days)


def _parts(settings: Settings) -> list[Part]:
    return landing.parts(settings, read_datasets(PROJECT_DIR)[EVENTS, "decisions"])
