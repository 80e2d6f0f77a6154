"""The arms of a service, and whether what a router is told fits them."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from penelope.domain.service import RouterReference, Service
from penelope.domain.traffic import Affinity, Extra, Feature, Mirror, Pin
from penelope.errors import InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.kit.codec import to_data

Options = TypeVar("Options", bound=msgspec.Struct)

# Both end up in the rules of routers, some of them in regular expressions there: nothing that could end or widen one.
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LONGEST_AGE_SECONDS = 400 * 86_400


def router_of(service: Service) -> RouterReference:
    """The service's router. Raises InvalidCatalogue where it has none, or one without arms."""
    if service.router is None or not service.router.arms:
        raise InvalidCatalogue(f"service {service.name!r} names no router with arms")
    return service.router


def options_as(service: Service, shape: type[Options]) -> Options:
    """The router's options. Raises InvalidCatalogue, without showing any value."""
    try:
        return msgspec.convert(to_data(router_of(service).options), shape)
    except msgspec.ValidationError as error:
        raise InvalidCatalogue(f"the router options of {service.name!r} do not fit: {error}") from None


def require_fitting(service: Service, weights: Mapping[str, int]) -> None:
    """Raises InvalidPlaybook unless the weights name exactly the service's arms and add up to 100 percent."""
    arms = router_of(service).arms
    if set(weights) != set(arms):
        raise InvalidPlaybook(
            f"the weights do not name exactly the arms of {service.name!r}",
            hint=f"Its arms are {', '.join(sorted(arms))}.",
        )
    if any(not 0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
        raise InvalidPlaybook("weights are percentages from 0 to 100 that add up to 100")


def require_feature(service: Service, feature: Feature, features: frozenset[Feature]) -> None:
    """Raises InvalidPlaybook where the router cannot do it."""
    if feature not in features:
        kind = router_of(service).kind
        raise InvalidPlaybook(
            f"the router {kind!r} of {service.name!r} knows no {feature.value}",
            hint="docs/routers.md lists what each router can do.",
        )


def require_extra(service: Service, extra: Extra) -> None:
    """Raises InvalidPlaybook for an arm that is none, and for what cannot be written into a rule."""
    if not isinstance(extra, Affinity) and extra.arm not in router_of(service).arms:
        raise InvalidPlaybook(f"{service.name!r} has no arm {extra.arm[:64]!r}")
    match extra:
        case Mirror(percent=percent) if not 1 <= percent <= 100:
            raise InvalidPlaybook("a mirror gets from 1 to 100 percent of the requests")
        case Pin(header=header, cookie=cookie) if bool(header) == bool(cookie):
            raise InvalidPlaybook("a pin goes by a header or by a cookie")
        case Pin(header=header, cookie=cookie) if not _TOKEN.fullmatch(header or cookie):
            raise InvalidPlaybook("a pin's header or cookie is named with letters, digits, - and _")
        case Pin(value=value) if not _VALUE.fullmatch(value):
            raise InvalidPlaybook("a pin's value is made of letters, digits, - and _")
        case Affinity(cookie=cookie) if not _TOKEN.fullmatch(cookie):
            raise InvalidPlaybook("the cookie of an affinity is named with letters, digits, - and _")
        case Affinity(max_age_seconds=age) if not 1 <= age <= _LONGEST_AGE_SECONDS:
            raise InvalidPlaybook("an affinity lasts from 1 second to 400 days")


def in_percent(weights: Mapping[str, int]) -> dict[str, int]:
    """Whole percentages that add up to 100; what rounding leaves over goes to the heaviest arm. Raises Unavailable."""
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise Unavailable("all weights are 0, or one is negative: nobody knows where traffic goes")
    percent = {arm: 100 * weight // total for arm, weight in weights.items()}
    percent[max(percent, key=lambda arm: weights[arm])] += 100 - sum(percent.values())
    return percent
