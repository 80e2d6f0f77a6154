"""Counts of a service's arms from their own pages, and from that of Traefik before them."""

import asyncio
from collections.abc import Mapping

import msgspec
from prometheus_client.samples import Sample as Line

from penelope.adapters.metrics import exposition
from penelope.adapters.metrics.counting import Wanted, began, require_each_once, series_by
from penelope.adapters.outbound import Call, ask
from penelope.domain.counts import Series, Totals
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.clock import Clock
from penelope.kit.codec import to_data

_LARGEST_BODY = 8 * 1024 * 1024
_ACCEPT = {"Accept": "text/plain;version=0.0.4, application/openmetrics-text;q=0.5"}
_CLIENT_WENT_AWAY = "499"


class ScrapeCounter:
    """Asks the page of every instance (an instance is an arm) at the same time, as `metrics` in the catalogue has them."""

    def __init__(self, clock: Clock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def totals(self, service: Service) -> Totals:
        queries = service.metrics
        if queries is None:
            raise InvalidCatalogue(f"service {service.name!r} has no metrics to count by")
        wanted = Wanted.of(queries)
        at = self._clock.now()
        found = await asyncio.gather(
            *(self._series(arm, url, wanted) for arm, url in queries.instances.items())
        )
        return Totals(at=at, arms={arm: {arm: series} for arm, series in found})

    async def _series(self, arm: str, url: str, wanted: Wanted) -> tuple[str, Series]:
        lines = await page(url, wanted.names, wanted.families, self._timeout_seconds)
        since = began(lines)
        with exposition.parsing():
            found = series_by(lines, wanted, lambda _: arm, since)
        # A client library leaves a labelled counter out until it is first counted up.
        return arm, found.get(arm, Series(requests=0.0, errors=0.0, began=since))


class TraefikCountsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the source: the URL of Traefik's metrics page, Traefik's name of each arm's service as ``name@provider``, and
    with `router` (``name@provider``; needs ``addRoutersLabels``) the router whose requests the arms must add up to.
    """

    url: str
    arms: dict[str, str]
    router: str | None = None


class TraefikCounter:
    """Reads both arms from one page of one Traefik. Requests whose client went away (code 499) are left out."""

    def __init__(self, clock: Clock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def totals(self, service: Service) -> Totals:
        options = _options(service)
        wanted = Wanted(
            counter="traefik_service_requests_total",
            histogram="traefik_service_request_duration_seconds",
            error_label="code",
            error_pattern="5[0-9][0-9]",
            counter_match={},
            histogram_match={},
            left_out=_CLIENT_WENT_AWAY,
        )
        arm_of = {name: arm for arm, name in options.arms.items()}
        routers = "traefik_router_requests_total"
        at = self._clock.now()
        lines = await page(
            options.url,
            {*wanted.names, routers},
            {*wanted.families, "traefik_router_requests"},
            self._timeout_seconds,
        )
        since = began(lines)
        with exposition.parsing():
            found = series_by(lines, wanted, lambda labels: arm_of.get(labels.get("service", "")), since)
            total = sum(
                float(line.value)
                for line in lines
                if line.name == routers
                and line.labels.get("router") == options.router
                and line.labels.get("code") != _CLIENT_WENT_AWAY
            )
        nothing = Series(requests=0.0, errors=0.0, began=since)
        arms = {arm: {"traefik": found.get(arm, nothing)} for arm in options.arms}
        return Totals(at=at, arms=arms, total={} if options.router is None else {"traefik": total})


async def page(url: str, names: set[str], families: set[str], timeout_seconds: float) -> list[Line]:
    """The lines of a metrics page with these names, each once. Raises Unavailable, Timeout."""
    answer = await ask(
        Call(
            what="the metrics page",
            method="GET",
            url=url,
            headers=_ACCEPT,
            timeout_seconds=timeout_seconds,
            body_limit_bytes=_LARGEST_BODY,
        )
    )
    if answer.status != 200:
        raise Unavailable(f"the metrics page answered {answer.status}")
    if len(answer.body) >= _LARGEST_BODY:
        raise Unavailable(f"the metrics page is larger than {_LARGEST_BODY} bytes")
    lines = await asyncio.to_thread(exposition.lines, answer.body, answer.content_type, names, families)
    require_each_once(lines)
    return lines


def _options(service: Service) -> TraefikCountsOptions:
    if service.counts is None:
        raise InvalidCatalogue(f"service {service.name!r} has no counts in the catalogue")
    data: Mapping[str, object] = to_data(service.counts.options)
    try:
        return msgspec.convert(data, TraefikCountsOptions)
    except msgspec.ValidationError as error:
        raise InvalidCatalogue(f"the options of counts of {service.name!r} do not fit: {error}") from None
