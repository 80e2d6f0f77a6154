"""What `rollout` needs from outside: a router, which flow drives on its behalf."""

from collections.abc import Mapping
from typing import Protocol

from penelope.domain.service import Service


class Router(Protocol):
    """Splits a service's traffic over its arms."""

    async def weights(self, service: Service) -> Mapping[str, int]:
        """The weights in force, by arm. Raises Unavailable."""

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        """Puts weights (percent, summing to 100) in force and returns when they are; repeating is harmless.

        Raises Unavailable when they cannot be put in force or read back.
        """
