"""Traefik's dynamic configuration as data: what of it is ours, and how an order changes it. No I/O."""

import copy
import secrets
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import cast

import msgspec

from penelope.adapters.routers.ordering import Order
from penelope.domain.traffic import Affinity, Feature, Mirror, Pin
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

REVISION_HEADER = "X-Penelope-Revision"
PROBE_HEADER = "X-Penelope-Probe"

# A rule's own priority is its length; those of ours stand before any that a person wrote.
_BEFORE_ALL = 1_000_000
_LARGEST_MIRRORED_BYTES = 1024 * 1024


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Traefik asks each server of an arm whether it is well; times as Traefik writes them."""

    path: str
    interval: str = "1s"
    timeout: str = "1s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What things are called in the document: the weighted service, the router before it, and the arms' services."""

    service: str
    router: str
    arms: Mapping[str, str]

    @property
    def revision(self) -> str:
        return f"penelope-{self.service}-revision"

    @property
    def mirror(self) -> str:
        return f"penelope-{self.service}-mirror"

    @property
    def pin(self) -> str:
        return f"penelope-{self.service}-pin"


def entries(document: Json, service: str) -> list[dict[str, Json]]:
    """The arms of a weighted service. Raises Unavailable where the document has none of that name."""
    try:
        found = document["http"]["services"][service]["weighted"]["services"]
        if all(isinstance(entry["name"], str) for entry in found):
            return cast("list[dict[str, Json]]", found)
    except (LookupError, TypeError):
        pass
    raise Unavailable(f"Traefik's file holds no weighted service {service!r}")


def weights_of(document: Json, names: Names) -> dict[str, int]:
    """The weights by the names of the arms' services. Raises Unavailable."""
    return {str(entry["name"]): _weight(entry) for entry in entries(document, names.service)}


def revision_of(document: Json, names: Names) -> str:
    """The revision that was written last; empty where none was."""
    try:
        found = document["http"]["middlewares"][names.revision]["headers"]["customResponseHeaders"]
        return str(found[REVISION_HEADER])
    except (LookupError, TypeError):
        return ""


def apply(
    document: Json, names: Names, order: Order, *, health: HealthCheck | None, probed: bool, renew: bool
) -> bool:
    """Changes the document in place as an order says; says whether it did.

    Every change brings a new revision where it is `probed`; `renew` brings one in any case. Raises Unavailable for a
    document that is not what it should be, and InvalidCatalogue where it lacks the router that an order needs.
    """
    before = copy.deepcopy(document)
    if order.weights is not None:
        _weigh(document, names, order.weights)
    if Feature.MIRROR in order.extras:
        _mirror(document, names, order.mirror())
    if Feature.PIN in order.extras:
        _pin(document, names, order.pin())
    if Feature.AFFINITY in order.extras:
        _stick(document, names, order.affinity())
    if health is not None:
        _watch_health(document, names, health)
    changed = bool(before != document)
    if probed and (changed or renew or not revision_of(document, names)):
        _revise(document, names)
        return True
    return changed


def _weight(entry: Mapping[str, Json]) -> int:
    weight = entry.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
        raise Unavailable("a weight in Traefik's file is not a whole number")
    return weight


def _weigh(document: Json, names: Names, weights: Mapping[str, int]) -> None:
    wanted = {names.arms[arm]: weight for arm, weight in weights.items()}
    found = entries(document, names.service)
    missing = set(wanted) - {entry["name"] for entry in found}
    if missing:
        raise Unavailable(f"the weighted service does not list {', '.join(sorted(missing))}")
    for entry in found:
        if entry["name"] in wanted:
            entry["weight"] = wanted[entry["name"]]


def _weighted(document: Json, names: Names) -> MutableMapping[str, Json]:
    entries(document, names.service)
    return cast("MutableMapping[str, Json]", document["http"]["services"][names.service]["weighted"])


def _router(document: Json, names: Names) -> MutableMapping[str, Json]:
    routers = document["http"].get("routers") if isinstance(document.get("http"), dict) else None
    router = routers.get(names.router) if isinstance(routers, dict) else None
    if not isinstance(router, dict) or not isinstance(router.get("rule"), str):
        hint = "Name it in the router's options (`router`): docs/routers.md."
        raise InvalidCatalogue(f"Traefik's file holds no router {names.router!r} with a rule", hint=hint)
    return router


def _mirror(document: Json, names: Names, mirror: Mirror | None) -> None:
    services = document["http"]["services"] if entries(document, names.service) else {}
    if mirror is None and services.pop(names.mirror, None) is None:
        return
    router = _router(document, names)
    router["service"] = names.service if mirror is None else names.mirror
    if mirror is not None:
        mirroring = {
            "service": names.service,
            "maxBodySize": _LARGEST_MIRRORED_BYTES,
            "mirrors": [{"name": names.arms[mirror.arm], "percent": mirror.percent}],
        }
        if "healthCheck" in _weighted(document, names):
            mirroring["healthCheck"] = {}
        services[names.mirror] = {"mirroring": mirroring}


def _pin(document: Json, names: Names, pin: Pin | None) -> None:
    if pin is None:
        entries(document, names.service)
        routers = document["http"].get("routers") or {}
        routers.pop(names.pin, None)
        return
    router = _router(document, names)
    # `require_extra` lets nothing through that could end the quotes or mean something in the expression.
    condition = (
        f"Header(`{pin.header}`, `{pin.value}`)"
        if pin.header
        else f"HeaderRegexp(`Cookie`, `(^|; ?){pin.cookie}={pin.value}(;|$)`)"
    )
    kept = ("entryPoints", "middlewares", "tls", "ruleSyntax", "observability")
    document["http"]["routers"][names.pin] = {
        **{key: copy.deepcopy(router[key]) for key in kept if key in router},
        "rule": f"({router['rule']}) && {condition}",
        "priority": _BEFORE_ALL,
        "service": names.arms[pin.arm],
    }


def _stick(document: Json, names: Names, affinity: Affinity | None) -> None:
    weighted = _weighted(document, names)
    if affinity is None:
        weighted.pop("sticky", None)
        return
    cookie = {
        "name": affinity.cookie,
        "maxAge": affinity.max_age_seconds,
        "httpOnly": True,
        "sameSite": "lax",
    }
    weighted["sticky"] = {"cookie": cookie}


def _watch_health(document: Json, names: Names, health: HealthCheck) -> None:
    """The weighted service hears of an arm's health only where all its arms are asked for it."""
    check = {"path": health.path, "interval": health.interval, "timeout": health.timeout}
    for name in names.arms.values():
        balancer = (document["http"]["services"].get(name) or {}).get("loadBalancer")
        if not isinstance(balancer, dict):
            raise InvalidCatalogue(f"Traefik's file holds no service {name!r} whose health could be asked")
        balancer["healthCheck"] = check.copy()
    _weighted(document, names).setdefault("healthCheck", {})


def _revise(document: Json, names: Names) -> None:
    """A route of its own that no server answers: what comes back is the proxy's, and says which document it follows."""
    count = revision_of(document, names).partition("-")[0]
    revision = f"{int(count) + 1 if count.isdecimal() else 1}-{secrets.token_hex(8)}"
    http = document["http"]
    _room(http, "middlewares")[names.revision] = {
        "headers": {"customResponseHeaders": {REVISION_HEADER: revision}}
    }
    routers = _room(http, "routers")
    probe = {
        "rule": f"Header(`{PROBE_HEADER}`, `{names.service}`)",
        "priority": 2 * _BEFORE_ALL,
        "middlewares": [names.revision],
        "service": "noop@internal",
    }
    own = routers.get(names.router)
    if isinstance(own, dict):
        probe |= {key: copy.deepcopy(own[key]) for key in ("entryPoints", "tls") if key in own}
    routers[names.revision] = probe


def _room(http: Json, kind: str) -> MutableMapping[str, Json]:
    if not isinstance(http.get(kind), dict):
        http[kind] = {}
    return cast("MutableMapping[str, Json]", http[kind])
