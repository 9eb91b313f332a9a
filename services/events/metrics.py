"""The metrics of the event service; those of HTTP are in `services.common.metrics`."""

from collections.abc import Callable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.events.coupons.repository import Outcome
from services.events.settings import Kind

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class EventMetrics:
    """The metrics of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def by_kind(name: str, text: str) -> dict[str, Counter]:
            counter = Counter(name, text, ["kind"], registry=registry)
            # Looking up a child by its label costs more than counting.
            return {kind: counter.labels(kind) for kind in get_args(Kind)}

        self.received = by_kind("pollux_events_received", "Messages taken from the broker.")
        self.repeated = by_kind("pollux_events_repeated", "Events that had arrived before.")
        self.dead = by_kind("pollux_events_dead", "Messages that could not be read.")
        decided = Counter(
            "pollux_events_decided", "Decisions, by outcome.", ["outcome"], registry=registry
        )
        self.decided = {outcome: decided.labels(outcome) for outcome in get_args(Outcome)}
        self.answer_seconds = Histogram(
            "pollux_events_answer_seconds",
            "Time from a focus event's arrival to the sending of its offer.",
            buckets=BUCKETS,
            registry=registry,
        )
        self.response_topics_refused = Counter(
            "pollux_events_response_topics_refused",
            "Response topics that an answer may not be sent to; the usual topic was used.",
            registry=registry,
        )
        self._registry = registry

    def show(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Shows a value that is asked for whenever metrics are read."""
        Gauge(name, text, registry=self._registry).set_function(value)
