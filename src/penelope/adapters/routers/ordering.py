"""What all routers have in common: each verb of the port is an order, which one method carries out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from penelope.adapters.routers.arms import require_extra, require_feature, require_fitting, router_of
from penelope.domain.service import Service
from penelope.domain.traffic import Affinity, Extra, Feature, Mirror, Pin, RouterFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What shall be different afterwards: the weights by arm, and features with what they shall be, None for away."""

    weights: Mapping[str, int] | None = None
    extras: Mapping[Feature, Extra | None] = field(default_factory=dict)

    def mirror(self) -> Mirror | None:
        found = self.extras.get(Feature.MIRROR)
        return found if isinstance(found, Mirror) else None

    def pin(self) -> Pin | None:
        found = self.extras.get(Feature.PIN)
        return found if isinstance(found, Pin) else None

    def affinity(self) -> Affinity | None:
        found = self.extras.get(Feature.AFFINITY)
        return found if isinstance(found, Affinity) else None


class OrderedRouter(ABC):
    """Checks what it is told, and leaves the rest to `_carry_out`, which returns when the order is in force."""

    features: ClassVar[frozenset[Feature]] = frozenset()

    @abstractmethod
    async def weights(self, service: Service) -> Mapping[str, int]:
        """The weights in force, in percent by arm."""

    @abstractmethod
    async def _carry_out(self, service: Service, order: Order) -> None:
        """Puts an order that fits in force, as a whole or not at all; repeating it is harmless."""

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        require_fitting(service, weights)
        await self._carry_out(service, Order(weights=dict(weights)))

    async def mirror(self, service: Service, mirror: Mirror | None) -> None:
        await self._set(service, Feature.MIRROR, mirror)

    async def pin(self, service: Service, pin: Pin | None) -> None:
        await self._set(service, Feature.PIN, pin)

    async def stick(self, service: Service, affinity: Affinity | None) -> None:
        await self._set(service, Feature.AFFINITY, affinity)

    async def finalise(self, service: Service) -> None:
        router_of(service)
        await self._carry_out(service, Order(extras=dict.fromkeys(sorted(self.features))))

    async def findings(self, service: Service) -> Sequence[RouterFinding]:
        router_of(service)
        return ()

    async def _set(self, service: Service, feature: Feature, extra: Extra | None) -> None:
        require_feature(service, feature, self.features)
        if extra is not None:
            require_extra(service, extra)
        await self._carry_out(service, Order(extras={feature: extra}))
