"""What an instance of the shop tells Prometheus about itself."""

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
INSTANCE_HEADER = "X-Shop-Instance"
"""By it an answer says which instance gave it."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Measures:
    """One registry an instance, so that two can live in one process."""

    def __init__(self, release: str) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("shop_requests", "Requests.", ("code", "route"), registry=self._registry)
        self.duration = Histogram(
            "shop_request_duration_seconds",
            "Duration of requests.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.config_valid = self._gauge("shop_config_valid", "1 if the last reading of shop.toml was valid.")
        self.schema_version = self._gauge("shop_schema_version", "Schema of the database.")
        self.schema_wanted = self._gauge("shop_schema_wanted", "Schema that the configuration asks for.")
        Gauge("shop_release_info", "The release.", ("release",), registry=self._registry).labels(release).set(
            1
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)

    def seen(self, route: str, code: int, seconds: float) -> None:
        self.requests.labels(str(code), route).inc()
        self.duration.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
