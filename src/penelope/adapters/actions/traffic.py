"""Splits a service's traffic over its arms."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_params, require_operation
from penelope.adapters.routers.arms import require_fitting, router_of
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.domain.service import Service
from penelope.errors import (
    CompensationFailed,
    InputError,
    InvalidPlaybook,
    UnknownAdapter,
    UnknownService,
)
from penelope.kit.canonical import Json
from penelope.rooms.rollout.ports import Router


class WeightParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`weights` in percent, by arm: all arms of the service, 100 together."""

    weights: dict[str, int]


class TrafficAdapter:
    """Operation `set_weights`, through the router that the catalogue names for the target's service."""

    name = "traffic"
    operations = MappingProxyType(
        {
            "set_weights": operation(
                "Split the traffic over the service's arms",
                WeightParams,
                "router: read and set weights",
                snapshots=("traffic weights",),
            )
        }
    )

    def __init__(self, routers: Mapping[str, Router], services: Mapping[str, Service]) -> None:
        self._routers = routers
        self._services = services

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(surroundings.routers, surroundings.services)

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        weights = read_params(WeightParams, params).weights
        if any(not 0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
            raise InvalidPlaybook("weights are percentages from 0 to 100 that add up to 100")

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state={"weights": await self._in_force(action)})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        service, _ = self._route(action)
        before, after = snapshot.state["weights"], self._wanted(action, service)
        lines = (
            f"-{arm}: {before.get(arm, 0)} %\n+{arm}: {weight} %\n"
            for arm, weight in sorted(after.items())
            if before.get(arm) != weight
        )
        return Preview(summary=f"traffic of {service.name}: {_shares(after)}", diff="".join(lines))

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the target tells
        service, _ = self._route(action)
        applied = await self._in_force(action) == self._wanted(action, service)
        return Progress.APPLIED if applied else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - weights are absolute
        service, router = self._route(action)
        return await _put(router, service, self._wanted(action, service))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        try:
            service, router = self._route(action)
            return await _put(router, service, snapshot.state["weights"])
        except InputError as error:
            raise CompensationFailed(error.message, hint=error.advice) from error

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        before, now = snapshot.state["weights"], await self._in_force(action)
        return [
            Difference(subject=f"weight of {arm}", before=before.get(arm), now=now.get(arm))
            for arm in sorted({*before, *now})
            if before.get(arm) != now.get(arm)
        ]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        weights = await self._in_force(action)
        return {"weights": weights, **{f"weight.{arm}": weight for arm, weight in weights.items()}}

    async def _in_force(self, action: Action) -> dict[str, int]:
        service, router = self._route(action)
        return dict(await router.weights(service))

    def _route(self, action: Action) -> tuple[Service, Router]:
        name = action.target.service
        if name not in self._services:
            raise UnknownService(f"the catalogue lists no service {name!r}")
        service = self._services[name]
        kind = router_of(service).kind
        if kind not in self._routers:
            raise UnknownAdapter(
                f"there is no router {kind!r}", hint=f"Installed: {', '.join(sorted(self._routers))}."
            )
        return service, self._routers[kind]

    def _wanted(self, action: Action, service: Service) -> dict[str, int]:
        self.validate(action.operation, action.params)
        weights = read_params(WeightParams, action.params).weights
        require_fitting(service, weights)
        return weights


async def _put(router: Router, service: Service, weights: Mapping[str, int]) -> Effect:
    await router.set_weights(service, weights)
    return Effect(
        summary=f"traffic of {service.name}: {_shares(weights)}", details={"weights": dict(weights)}
    )


def _shares(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{arm} {weight} %" for arm, weight in sorted(weights.items()))
