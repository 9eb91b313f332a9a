"""Which events are new: `events.inbox` holds the keys of the events that were handled."""

# Takes the worker, and keys and kinds of events; returns the keys that no worker had before.
INSERT_NEW = """
insert into events.inbox (event_key, kind, worker)
select event_key, kind, $1
from unnest($2::uuid[], $3::text[]) as event (event_key, kind)
on conflict do nothing
returning event_key
"""
