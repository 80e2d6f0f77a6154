"""What `rollout` needs from outside: a router and a counter of requests, which flow drives on its behalf."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penelope.domain.counts import Totals
from penelope.domain.service import Service
from penelope.domain.traffic import Affinity, Feature, Mirror, Pin, RouterFinding


class Router(Protocol):
    """Splits a service's traffic over its arms.

    Every change is whole or not there at all, repeating it is harmless, and it returns when it was read back. All raise
    InvalidCatalogue for a service whose entry does not fit, InvalidPlaybook for what does not fit the service or what
    the router cannot do (it is not in `features`), and Unavailable or Timeout where nobody knows whether it is in force.
    """

    @property
    def features(self) -> frozenset[Feature]:
        """What it can do beside weights."""

    async def weights(self, service: Service) -> Mapping[str, int]:
        """The weights in force, in percent by arm."""

    async def set_weights(self, service: Service, weights: Mapping[str, int]) -> None:
        """Puts weights (percent, summing to 100) in force; whatever else was set stays."""

    async def mirror(self, service: Service, mirror: Mirror | None) -> None:
        """Sends copies of requests to an arm; None ends it."""

    async def pin(self, service: Service, pin: Pin | None) -> None:
        """Sends marked requests to an arm; None ends it."""

    async def stick(self, service: Service, affinity: Affinity | None) -> None:
        """Keeps clients at their arm; None ends it."""

    async def finalise(self, service: Service) -> None:
        """Takes away mirror, pin and affinity; the weights stay as they are."""

    async def findings(self, service: Service) -> Sequence[RouterFinding]:
        """Tries what the router needs of its set-up, without moving traffic; raises nothing that a set-up can cause."""


class ArmCounter(Protocol):
    """Reads the counters of a service's arms."""

    async def totals(self, service: Service) -> Totals:
        """The counters of all arms at one moment, from one answer where the source gives one.

        Keep it, and give it with the next to `counted` (domain/counts.py): that says what happened in between. Raises
        Unavailable or Timeout where the source does not answer, or answers something that is no count: never a guess.
        """
