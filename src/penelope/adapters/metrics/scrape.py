"""Figures without a metrics server: samples every instance's /metrics in the background, answers from memory."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

import httpx

from penelope.adapters.metrics.exposition import sample
from penelope.domain.metrics import Reading, Sample, reading
from penelope.domain.service import MetricQueries, Service
from penelope.errors import Unavailable
from penelope.kit.clock import Clock

_LARGEST_BODY = 8 * 1024 * 1024
_STALE_AFTER_INTERVALS = 2.5
_HEADERS = {
    "accept": "text/plain;version=0.0.4, application/openmetrics-text;q=0.5",
    "accept-encoding": "identity",  # a compressed answer could unfold to any size
    "user-agent": "penelope",
}

Instance = tuple[str, str]
"""A service's name and one of its arms."""


class ScrapedMetrics:
    """Reads figures of the services whose catalogue entry has metrics; fulfils both ports called MetricReader.

    `run` must be running; reading does no I/O. `failures` counts failed samples by instance since the start,
    `last_errors` holds why the latest sample of an instance failed, until one succeeds.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        *,
        interval_seconds: float,
        timeout_seconds: float,
        retention_seconds: float,
        clock: Clock,
    ) -> None:
        self._queries = {name: each.metrics for name, each in services.items() if each.metrics is not None}
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._retention = timedelta(seconds=retention_seconds)
        self._clock = clock
        self._client = httpx.AsyncClient(
            headers=_HEADERS,
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2 * interval_seconds),
            trust_env=False,
            verify=ssl.create_default_context(),
        )
        self._samples: dict[Instance, deque[Sample]] = {
            (name, arm): deque() for name, queries in self._queries.items() for arm in queries.instances
        }
        self.failures: dict[Instance, int] = dict.fromkeys(self._samples, 0)
        self.last_errors: dict[Instance, str] = {}

    async def run(self) -> None:
        """Samples all instances, at once and then each interval, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, queries in self._queries.items():
                for arm, url in queries.instances.items():
                    group.create_task(self._keep_sampling((name, arm), url, queries))

    async def close(self) -> None:
        """Closes the connections; call it after `run` has ended."""
        await self._client.aclose()

    async def read(self, service: Service, window_seconds: float) -> Reading:
        """Figures over the last `window_seconds`. Raises Unavailable when no instance answers."""
        now = self._clock.now()
        return reading(self._fresh(service, now), now, window_seconds)

    async def read_since(self, service: Service, since: datetime, window_seconds: float) -> Reading:
        """Figures from samples taken after `since`, at most `window_seconds` back. Raises Unavailable."""
        now = self._clock.now()
        return reading(self._fresh(service, now), now, window_seconds, since)

    def _fresh(self, service: Service, now: datetime) -> dict[str, deque[Sample]]:
        """The samples of the arms that answered lately."""
        queries = self._queries.get(service.name)
        if queries is None:
            raise Unavailable(
                f"no metrics are read for {service.name}",
                hint="Give the service a `metrics` section in the catalogue.",
            )
        oldest = now - timedelta(seconds=_STALE_AFTER_INTERVALS * self._interval_seconds)
        series = {arm: self._samples[service.name, arm] for arm in queries.instances}
        fresh = {arm: samples for arm, samples in series.items() if samples and samples[-1].at >= oldest}
        if not fresh:
            silent = "; ".join(
                f"{arm}: {self.last_errors.get((service.name, arm), 'not sampled lately')}" for arm in series
            )
            raise Unavailable(f"no instance of {service.name} shows its metrics ({silent})")
        return fresh

    async def _keep_sampling(self, instance: Instance, url: str, queries: MetricQueries) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._sample(instance, url, queries)
            due = max(due + self._interval_seconds, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _sample(self, instance: Instance, url: str, queries: MetricQueries) -> None:
        # A sample is as old as its request: what it counts was certainly there after that moment began.
        at = self._clock.now()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                body, content_type = await self._fetch(url)
            # Parsing a large answer takes long, for which nobody else should wait. It cannot be cancelled, so
            # it stands outside the timeout: the next sample of this instance comes after it.
            taken = await asyncio.to_thread(sample, body, content_type, queries, at)
        except Exception as error:  # noqa: BLE001 - whatever one instance answers, sampling goes on
            self.failures[instance] += 1
            self.last_errors[instance] = _describe(error)
            return
        self.last_errors.pop(instance, None)
        samples = self._samples[instance]
        samples.append(taken)
        while samples[0].at < at - self._retention:
            samples.popleft()

    async def _fetch(self, url: str) -> tuple[bytes, str]:
        body = bytearray()
        # Credentials leave the URL here, for the client's own log shows URLs.
        address = httpx.URL(url)
        login = (address.username, address.password) if address.userinfo else None
        address = address.copy_with(username=None, password=None)
        async with self._client.stream("GET", address, auth=login) as response:
            if response.status_code != httpx.codes.OK:
                raise Unavailable(f"HTTP {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    raise Unavailable(f"the answer is larger than {_LARGEST_BODY} bytes")
            return bytes(body), response.headers.get("content-type", "")


def _describe(error: Exception) -> str:
    match error:
        case Unavailable():
            return error.message
        case TimeoutError() | httpx.TimeoutException():
            return "no complete answer in time"
        case httpx.HTTPError():
            return f"{type(error).__name__}: {error}"[:200]
        case _:
            return type(error).__name__
