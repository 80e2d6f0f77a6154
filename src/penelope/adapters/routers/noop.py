"""A router that moves nothing and remembers what it was told, for dry runs."""

from collections.abc import Mapping
from typing import ClassVar

from penelope.adapters.routers.arms import router_of
from penelope.adapters.routers.ordering import Order, OrderedRouter
from penelope.domain.service import Service
from penelope.domain.traffic import Extra, Feature


class NoopRouter(OrderedRouter):
    """Traffic is split evenly until weights are set; they are forgotten with the process."""

    features: ClassVar[frozenset[Feature]] = frozenset(Feature)

    def __init__(self) -> None:
        self._weights: dict[str, dict[str, int]] = {}
        self._extras: dict[str, dict[Feature, Extra]] = {}

    async def weights(self, service: Service) -> Mapping[str, int]:
        arms = sorted(router_of(service).arms)
        share, rest = divmod(100, len(arms))
        even = {arm: share + (place < rest) for place, arm in enumerate(arms)}
        return dict(self._weights.get(service.name, even))

    def told(self, service: Service) -> Mapping[Feature, Extra]:
        """What was set beside the weights."""
        return dict(self._extras.get(service.name, {}))

    async def _carry_out(self, service: Service, order: Order) -> None:
        if order.weights is not None:
            self._weights[service.name] = dict(order.weights)
        extras = {**self._extras.get(service.name, {}), **order.extras}
        self._extras[service.name] = {name: extra for name, extra in extras.items() if extra is not None}
