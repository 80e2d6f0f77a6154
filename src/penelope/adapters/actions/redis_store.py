"""Changes keys and settings of a Redis server, or of one that speaks its protocol such as Valkey; not of a cluster."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Self, TypeVar

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.adapters.actions.redis_config import ConfigSet
from penelope.adapters.actions.redis_deed import Job, RedisDeed, State
from penelope.adapters.actions.redis_entries import connected
from penelope.adapters.actions.redis_keys import DeleteKeys, ExpireKeys, FlushPrefix, SetKey
from penelope.adapters.actions.redis_model import (
    ConfigSetParams,
    DeleteKeysParams,
    ExpireKeysParams,
    FlushPrefixParams,
    RedisOptions,
    SetKeyParams,
)
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import ActionFailed, CompensationFailed, InputError, Unavailable
from penelope.kit.canonical import Json

Result = TypeVar("Result")

_READ = "type, dump, pexpiretime, memory|usage, get, lrange, hgetall, smembers, zrange"
_PROOF = "watch, unwatch, multi, exec, time, set"
"""Also on ``penelope:action:*``, as is `get`."""
_VALUES = ("values and expiries of the keys",)
_DEEDS: Mapping[str, RedisDeed] = MappingProxyType(
    {
        "delete_keys": DeleteKeys(),
        "set_key": SetKey(),
        "expire_keys": ExpireKeys(),
        "flush_prefix": FlushPrefix(),
        "config_set": ConfigSet(),
    }
)


class RedisAdapter:
    """An effect on keys is written in one transaction with its proof, under ``penelope:action:<key>``."""

    name = "redis"
    operations = MappingProxyType(
        {
            "delete_keys": operation(
                "Delete a few keys at once",
                DeleteKeysParams,
                _READ,
                _PROOF,
                "unlink, restore",
                "scan",
                tier=Tier.SNAPSHOT,
                snapshots=_VALUES,
            ),
            "set_key": operation(
                "Write a text under a key",
                SetKeyParams,
                _READ,
                _PROOF,
                "restore, unlink",
                tier=Tier.SNAPSHOT,
                snapshots=_VALUES,
            ),
            "expire_keys": operation(
                "Let keys go after a time",
                ExpireKeysParams,
                _READ,
                _PROOF,
                "expire, pexpireat, persist, restore",
                tier=Tier.SNAPSHOT,
                snapshots=_VALUES,
            ),
            "flush_prefix": operation(
                "Delete all keys of a cache that begin alike",
                FlushPrefixParams,
                _READ,
                _PROOF,
                "unlink, restore",
                "scan",
                tier=Tier.HARD_TO_REVERSE,
                snapshots=_VALUES,
            ),
            "config_set": operation(
                "Set a parameter of the running server",
                ConfigSetParams,
                "config|get, config|set",
                tier=Tier.SNAPSHOT,
                snapshots=("the setting",),
            ),
        }
    )

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(Keep(surroundings.keep))

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        deed = _DEEDS[operation]
        read_params(deed.shape, params)
        deed.check(params)

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state=await self._work(action, lambda deed, job: deed.snapshot(job)))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        return await self._work(action, lambda deed, job: deed.preview(job, _state(snapshot)))

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return await self._look(action, lambda deed, job: deed.probe(job, _state(snapshot)))

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        return await self._work(action, lambda deed, job: deed.execute(job, _state(snapshot)))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        try:
            return await self._work(action, lambda deed, job: deed.compensate(job, _state(snapshot)))
        except (ActionFailed, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        return await self._look(action, lambda deed, job: deed.differences(job, _state(snapshot)))

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return await self._look(action, lambda deed, job: deed.observe(job))

    async def _look(self, action: Action, work: Callable[[RedisDeed, Job], Awaitable[Result]]) -> Result:
        """A look that the server refuses says nothing about the action."""
        try:
            return await self._work(action, work)
        except ActionFailed as error:
            raise Unavailable(error.message, hint=error.advice) from error

    async def _work(self, action: Action, work: Callable[[RedisDeed, Job], Awaitable[Result]]) -> Result:
        self.validate(action.operation, action.params)
        options = read_options(RedisOptions, action.target)
        async with connected(options, action.timeout_seconds) as client:
            return await work(_DEEDS[action.operation], Job(action, options, self._keep, client))


def _state(snapshot: Snapshot) -> State:
    return dict(snapshot.state)
