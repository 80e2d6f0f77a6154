"""A router that moves nothing and remembers what it was told, for dry runs."""

from collections.abc import Mapping

from penelope.adapters.routers.arms import require_fitting, router_of
from penelope.domain.service import Service


class NoopRouter:
    """Traffic is split evenly until weights are set; they are forgotten with the process."""

    def __init__(self) -> None:
        self._weights: dict[str, dict[str, int]] = {}

    async def weights(self, service: Service) -> Mapping[str, int]:
        arms = sorted(router_of(service).arms)
        share, rest = divmod(100, len(arms))
        even = {arm: share + (place < rest) for place, arm in enumerate(arms)}
        return dict(self._weights.get(service.name, even))

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        require_fitting(service, weights)
        self._weights[service.name] = dict(weights)
