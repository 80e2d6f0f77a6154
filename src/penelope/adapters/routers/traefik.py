"""Traefik's file provider: weights, mirror, pin and affinity in a file that it watches, read back through Traefik."""

import asyncio
import functools
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from penelope.adapters.routers import traefik_file
from penelope.adapters.routers.arms import in_percent, options_as, router_of
from penelope.adapters.routers.ordering import Order, OrderedRouter
from penelope.adapters.routers.traefik_document import (
    HealthCheck,
    Names,
    apply,
    entries,
    revision_of,
    weights_of,
)
from penelope.adapters.routers.traefik_live import live_revision, shown_weights
from penelope.domain.service import Service
from penelope.domain.traffic import Feature, RouterFinding
from penelope.errors import DependencyError, InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,127}")
_POLL_SECONDS = 0.01
_QUICK_SECONDS = 1.0
"""A change that takes longer, right after another, waits for a throttle: 2 s by default; with 10 ms it takes some 100 ms."""
_PROMPT_SECONDS = 0.06
"""With a default certificate a change takes some 25 ms; without one Traefik makes an RSA key each time, some 60 ms more."""


class TraefikOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a router: the watched file (YAML or JSON), the weighted service's name in it, and the name of the router
    before it (by default the same). `api` is the URL of Traefik's API and `entry_point` that of an entry point; they say
    what is in force: without them the file is believed. `health_check` is kept up on all arms.
    """

    file: str
    service: str
    router: str | None = None
    api: str | None = None
    entry_point: str | None = None
    health_check: HealthCheck | None = None


class TraefikRouter(OrderedRouter):
    """Changes the file, and waits until Traefik follows it, for `deadline_seconds` at most.

    Set ``providersThrottleDuration`` to 10 ms in Traefik: its default makes a change wait two seconds after another.
    """

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)
    _provider: ClassVar[str] = "file"

    def __init__(self, deadline_seconds: float = 5.0) -> None:
        self._deadline_seconds = deadline_seconds

    async def weights(self, service: Service) -> Mapping[str, int]:
        """Those of the file, once Traefik follows it. Raises Unavailable where it does not in time."""
        options = self._options(service)
        document = await asyncio.to_thread(traefik_file.load, Path(options.file))
        names = _names(service, options)
        percent = in_percent(_by_arm(service, weights_of(document, names)))
        await self._until_followed(options, names, document)
        return percent

    async def findings(self, service: Service) -> Sequence[RouterFinding]:
        """Whether Traefik is reached, follows the file, and does so at once: the file gets three new revisions for it."""
        try:
            options = self._options(service)
            document = await asyncio.to_thread(traefik_file.load, Path(options.file))
            found = [_others(service, document, _names(service, options))]
            if options.entry_point is None:
                said = (
                    "give the router its entry_point: without it nobody can tell which configuration is live"
                )
                return [*found, RouterFinding(name="revision", works=False, said=said)]
            took = [await self._renewed(service, options) for _ in range(3)]
        except (DependencyError, InvalidCatalogue) as error:
            return [RouterFinding(name="revision", works=False, said=error.message)]
        return [*found, *_quickness(min(took[1:]))]

    async def _carry_out(self, service: Service, order: Order) -> None:
        await self._write(service, self._options(service), order, renew=False)

    async def _renewed(self, service: Service, options: TraefikOptions) -> float:
        """How many seconds Traefik needs to follow a document in which only the revision is another."""
        began = time.monotonic()
        await self._write(service, options, Order(), renew=True)
        return time.monotonic() - began

    async def _write(self, service: Service, options: TraefikOptions, order: Order, *, renew: bool) -> None:
        names = _names(service, options)
        edit = functools.partial(
            apply,
            names=names,
            order=order,
            health=options.health_check,
            probed=options.entry_point is not None,
            renew=renew,
        )
        document = await asyncio.to_thread(traefik_file.change, Path(options.file), edit)
        await self._until_followed(options, names, document)

    async def _until_followed(self, options: TraefikOptions, names: Names, document: Json) -> None:
        api, entry_point = options.api, options.entry_point
        written, revision = weights_of(document, names), revision_of(document, names)

        async def followed() -> bool:
            seconds = self._deadline_seconds
            if (
                entry_point
                and revision
                and await live_revision(entry_point, names.service, seconds) != revision
            ):
                return False
            if api is None:
                return True
            shown = await shown_weights(api, f"{names.service}@{self._provider}", seconds)
            return written.items() <= shown.items()

        await self._until(followed)

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        last: DependencyError | None = None
        try:
            async with asyncio.timeout(self._deadline_seconds):
                while True:
                    try:
                        if await holds():
                            return
                        last = None
                    except DependencyError as error:  # it may be starting anew
                        last = error
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            pass
        raise last or Unavailable(
            f"Traefik has not taken over the configuration within {self._deadline_seconds:g} s",
            hint="Check that Traefik reads it and that its providersThrottleDuration is short.",
        )

    def _options(self, service: Service) -> TraefikOptions:
        return options_as(service, TraefikOptions)


def _names(service: Service, options: TraefikOptions) -> Names:
    for name in (options.service, options.router or options.service):
        if not _NAME.fullmatch(name):
            raise InvalidCatalogue(f"the router options of {service.name!r} hold a name that Traefik has not")
    return Names(
        service=options.service, router=options.router or options.service, arms=router_of(service).arms
    )


def _by_arm(service: Service, weights: Mapping[str, int]) -> dict[str, int]:
    """Weights by the names of Traefik's services, as weights by arm."""
    arms = router_of(service).arms
    missing = set(arms.values()) - set(weights)
    if missing:
        raise Unavailable(f"the weighted service does not list {', '.join(sorted(missing))}")
    return {arm: weights[name] for arm, name in arms.items()}


def _others(service: Service, document: object, names: Names) -> RouterFinding:
    """An arm that the catalogue does not know takes a share that nobody planned."""
    arms = set(router_of(service).arms.values())
    strange = sorted({str(entry["name"]) for entry in entries(document, names.service)} - arms)
    said = f"the weighted service also lists {', '.join(strange)}" if strange else "only the service's arms"
    return RouterFinding(name="arms", works=not strange, said=said)


def _quickness(seconds: float) -> list[RouterFinding]:
    quick = seconds <= _QUICK_SECONDS
    said = f"a change right after another is followed after {seconds * 1000:.0f} ms"
    if not quick:
        said += "; set providersThrottleDuration to 10ms in Traefik: a rollback waits as long"
    elif seconds > _PROMPT_SECONDS:
        said += "; give Traefik a default certificate, or it makes a key at each change"
    return [
        RouterFinding(name="revision", works=True, said="Traefik follows the configuration"),
        RouterFinding(name="throttle", works=quick, said=said),
    ]
