"""The arms of a service, and whether weights fit them."""

from collections.abc import Mapping

from penelope.domain.service import RouterReference, Service
from penelope.errors import InvalidCatalogue, InvalidPlaybook


def router_of(service: Service) -> RouterReference:
    """The service's router. Raises InvalidCatalogue where it has none, or one without arms."""
    if service.router is None or not service.router.arms:
        raise InvalidCatalogue(f"service {service.name!r} names no router with arms")
    return service.router


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
