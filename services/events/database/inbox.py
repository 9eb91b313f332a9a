"""Which events are new: `events.inbox` holds the key of every event that was here.

Belongs here: the statement. Does not belong here: what an event leads to.
"""

# The worker, keys and kinds of events; what it returns is new, whatever else came meanwhile.
INSERT_NEW = """
insert into events.inbox (event_key, kind, worker)
select event_key, kind, $1
from unnest($2::uuid[], $3::text[]) as event (event_key, kind)
on conflict do nothing
returning event_key
"""
