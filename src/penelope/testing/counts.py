"""A source of counts that adds the traffic of a fake router up, and can be cut off."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from penelope.domain.counts import Series, Totals
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.kit.clock import Clock
from penelope.rooms.rollout.ports import Router

_EDGES = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How an arm answers: the share of its requests that fail, and the seconds that most take."""

    error_ratio: float = 0.0
    seconds: float = 0.02


@dataclass
class _Arm:
    requests: float = 0.0
    errors: float = 0.0
    buckets: dict[str, float] = field(default_factory=dict)


class FakeCounter:
    """Fulfils ArmCounter. Between two looks `requests` come in, and go where the router sends them.

    Set `out_of_reach` to cut it off, `manners` to what arms do. By chance, but the same chance each time.
    """

    def __init__(self, clock: Clock, router: Router, requests: int = 400) -> None:
        self.manners: dict[str, Manner] = {}
        self.out_of_reach = False
        self.requests = requests
        self._clock = clock
        self._router = router
        self._arms: dict[tuple[str, str], _Arm] = {}
        self._chance = Random(7)  # noqa: S311 - traffic, no secret

    async def totals(self, service: Service) -> Totals:
        if self.out_of_reach:
            raise Unavailable("the source of counts is out of reach, as it was told to")
        weights = await self._router.weights(service)
        for arm in service.router.arms if service.router else {}:
            self._serve(self._arms.setdefault((service.name, arm), _Arm()), arm, weights)
        arms = {
            name: {"1": Series(requests=arm.requests, errors=arm.errors, buckets=dict(arm.buckets))}
            for (of, name), arm in self._arms.items()
            if of == service.name
        }
        return Totals(at=self._clock.now(), arms=arms)

    def _serve(self, arm: _Arm, name: str, weights: Mapping[str, int]) -> None:
        manner = self.manners.get(name, Manner())
        count = round(self.requests * weights.get(name, 0) / 100)
        arm.requests += count
        arm.errors += sum(self._chance.random() < manner.error_ratio for _ in range(count))
        for upper in (*_EDGES, float("inf")):
            key = "+Inf" if upper == float("inf") else repr(upper)
            arm.buckets[key] = arm.buckets.get(key, 0.0) + (count if upper >= manner.seconds else 0)
