"""The datasets of `events`, which the event service fills, and what has landed of them.

Does not belong here: landing them (`events`).
"""

import hashlib
import json
from collections.abc import Sequence

from orchestration.load import landing
from orchestration.load.declarations import TABLE, Dataset, read_datasets
from orchestration.load.landing import Part
from pollux.runtime.live import FOLLOWED
from pollux.runtime.settings import PROJECT_DIR, Settings

EVENTS = "events"


def event_datasets() -> list[Dataset]:
    """The datasets that are landed from the event service's tables."""
    return [dataset for dataset in read_datasets(PROJECT_DIR).values() if dataset.format == TABLE]


def feeding(domains: Sequence[str]) -> list[Dataset]:
    """The event datasets that feed any of these domains."""
    return [dataset for dataset in event_datasets() if set(domains).intersection(dataset.feeds)]


def last_event(settings: Settings, domain: str) -> int:
    """The number of the last landed row of the events by which a domain is followed; 0 if none."""
    if domain not in FOLLOWED:
        return 0
    dataset = read_datasets(PROJECT_DIR)[EVENTS, FOLLOWED[domain].table]
    return max(map(last_number, landing.parts(settings, dataset)), default=0)


def last_number(part: Part) -> int:
    """The number of the last row in a part of an event dataset."""
    return int(part.name.rpartition("-")[2])


def events_fingerprint(settings: Settings, domain: str) -> str:
    """A hash that changes when new events of a domain have landed; empty if none ever have."""
    found = [dataset for dataset in feeding([domain]) if landing.parts(settings, dataset)]
    content = [landing.dataset_fingerprint(settings, dataset) for dataset in found]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest() if content else ""
