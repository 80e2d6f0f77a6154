"""A router that keeps what it was told, and can be cut off."""

from collections.abc import Mapping

from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.ordering import Order
from penelope.domain.service import Service
from penelope.errors import Unavailable


class FakeRouter(NoopRouter):
    """Set `out_of_reach` to cut it off; `history` lists the weights put in force, by service, the newest last, and `orders`
    all that it was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.out_of_reach = False
        self.history: list[tuple[str, dict[str, int]]] = []
        self.orders: list[tuple[str, Order]] = []

    async def weights(self, service: Service) -> Mapping[str, int]:
        self._reach()
        return await super().weights(service)

    async def _carry_out(self, service: Service, order: Order) -> None:
        self._reach()
        await super()._carry_out(service, order)
        self.orders.append((service.name, order))
        if order.weights is not None:
            self.history.append((service.name, dict(order.weights)))

    def _reach(self) -> None:
        if self.out_of_reach:
            raise Unavailable("the router is out of reach, as it was told to")
