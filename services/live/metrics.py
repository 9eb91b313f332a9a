"""The metrics of the updater; those of HTTP are in `services.common.metrics`."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LiveMetrics:
    """The metrics of one updater."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._customers = Counter(
            "pollux_live_customers",
            "Customers whose live rows were computed.",
            ["domain"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pollux_live_batch_seconds",
            "Time from reading new events to the commit of their customers' rows.",
            ["domain"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._lag = Gauge(
            "pollux_live_lag_seconds",
            "Age of the oldest event that is not yet in live rows; 0 where another process "
            "computes.",
            ["domain"],
            registry=registry,
        )

    def show_lag(self, domain: str, value: Callable[[], float]) -> None:
        """Shows how late a domain is whenever metrics are read."""
        self._lag.labels(domain).set_function(value)

    def count(self, domain: str, customers: int, seconds: float) -> None:
        """Counts one batch."""
        self._customers.labels(domain).inc(customers)
        self._seconds.labels(domain).observe(seconds)
