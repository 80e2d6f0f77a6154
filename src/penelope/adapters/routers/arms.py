"""The arms of a service, and whether what a router is told fits them."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from penelope.domain.service import RouterReference, Service
from penelope.domain.traffic import Affinity, Extra, Feature, unfit
from penelope.errors import InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.kit.codec import to_data

Options = TypeVar("Options", bound=msgspec.Struct)


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
    if why := unfit(extra):
        raise InvalidPlaybook(why)


def in_percent(weights: Mapping[str, int]) -> dict[str, int]:
    """Whole percentages that add up to 100; what rounding leaves over goes to the heaviest arm. Raises Unavailable."""
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise Unavailable("all weights are 0, or one is negative: nobody knows where traffic goes")
    percent = {arm: 100 * weight // total for arm, weight in weights.items()}
    percent[max(percent, key=lambda arm: weights[arm])] += 100 - sum(percent.values())
    return percent
