"""Traefik's HTTP provider: Penelope keeps the configuration of a service and serves it; Traefik asks for it again and again."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from penelope.adapters.routers import traefik_file
from penelope.adapters.routers.arms import options_as, require_fitting, router_of
from penelope.adapters.routers.ordering import Order
from penelope.adapters.routers.traefik import TraefikOptions, TraefikRouter
from penelope.adapters.routers.traefik_document import HealthCheck, entries
from penelope.domain.service import Service
from penelope.domain.traffic import RouterFinding
from penelope.errors import InvalidCatalogue
from penelope.kit.canonical import Json

KIND = "traefik_http"
"""What a catalogue calls this router."""

_PARTS = ("routers", "services", "middlewares")


class TraefikHttpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a router: the file that Penelope keeps the configuration in, the rule by which requests reach the service,
    the URLs of each arm's servers, and the weights until others are set. `api` and `entry_point` as in TraefikOptions.
    """

    file: str
    service: str
    rule: str
    servers: dict[str, list[str]]
    initial: dict[str, int]
    entry_points: list[str] = []
    api: str | None = None
    entry_point: str | None = None
    health_check: HealthCheck | None = None


class TraefikHttpRouter(TraefikRouter):
    """As TraefikRouter, for a file of Penelope's own. Traefik asks each `pollInterval`: a rollback waits as long."""

    _provider: ClassVar[str] = "http"

    async def weights(self, service: Service) -> Mapping[str, int]:
        await asyncio.to_thread(ensure, service)
        return await super().weights(service)

    async def findings(self, service: Service) -> Sequence[RouterFinding]:
        await asyncio.to_thread(ensure, service)
        return await super().findings(service)

    async def _carry_out(self, service: Service, order: Order) -> None:
        await asyncio.to_thread(ensure, service)
        await super()._carry_out(service, order)

    def _options(self, service: Service) -> TraefikOptions:
        own = _own_options(service)
        return TraefikOptions(
            file=own.file,
            service=own.service,
            api=own.api,
            entry_point=own.entry_point,
            health_check=own.health_check,
        )


def document_of(service: Service) -> Json:
    """The whole configuration of a service as its catalogue entry has it, before anything was set. Raises InvalidCatalogue."""
    options = _own_options(service)
    arms = router_of(service).arms
    if set(options.servers) != set(arms) or not all(options.servers.values()):
        raise InvalidCatalogue(f"the router options of {service.name!r} do not give each arm its servers")
    require_fitting(service, options.initial)
    router: dict[str, Json] = {"rule": options.rule, "service": options.service}
    if options.entry_points:
        router["entryPoints"] = list(options.entry_points)
    weighted = [{"name": name, "weight": options.initial[arm]} for arm, name in arms.items()]
    return {
        "http": {
            "routers": {options.service: router},
            "services": {
                options.service: {"weighted": {"services": weighted}},
                **{name: _balancer(options.servers[arm]) for arm, name in arms.items()},
            },
        }
    }


def ensure(service: Service) -> Path:
    """The file of a service, made from its catalogue entry where it is not there yet. Raises InvalidCatalogue, Unavailable."""
    file = Path(_own_options(service).file)
    if not file.exists():
        traefik_file.create(file, document_of(service))
    return file


def served(services: Mapping[str, Service]) -> Json:
    """What Traefik is told: the configurations of all services of this kind as one.

    Raises Unavailable as soon as one cannot be read: Traefik keeps what it has when it gets no answer, and would drop the
    routes of a service that an answer leaves out. Raises InvalidCatalogue where two services use one name.
    """
    http: dict[str, dict[str, Json]] = {}
    for service in services.values():
        if service.router is None or service.router.kind != KIND:
            continue
        document = traefik_file.load(ensure(service))
        entries(document, _own_options(service).service)
        for part in _PARTS:
            for name, item in (document["http"].get(part) or {}).items():
                if name in http.setdefault(part, {}):
                    raise InvalidCatalogue(f"two services configure {name!r} in Traefik")
                http[part][name] = item
    return {"http": http} if http else {}


def _balancer(urls: Sequence[str]) -> Json:
    return {"loadBalancer": {"servers": [{"url": url} for url in urls]}}


def _own_options(service: Service) -> TraefikHttpOptions:
    options = options_as(service, TraefikHttpOptions)
    if not Path(options.file).suffix == ".json":
        raise InvalidCatalogue(f"the router's file of {service.name!r} must end in .json")
    return options
