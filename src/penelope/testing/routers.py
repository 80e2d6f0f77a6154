"""A router that keeps what it was told, and can be cut off."""

from collections.abc import Mapping

from penelope.adapters.routers.noop import NoopRouter
from penelope.domain.service import Service
from penelope.errors import Unavailable


class FakeRouter(NoopRouter):
    """Set `out_of_reach` to cut it off; `history` lists what was put in force, by service, the newest last."""

    def __init__(self) -> None:
        super().__init__()
        self.out_of_reach = False
        self.history: list[tuple[str, dict[str, int]]] = []

    async def weights(self, service: Service) -> Mapping[str, int]:
        self._reach()
        return await super().weights(service)

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        self._reach()
        await super().set_weights(service, weights)
        self.history.append((service.name, dict(weights)))

    def _reach(self) -> None:
        if self.out_of_reach:
            raise Unavailable("the router is out of reach, as it was told to")
