"""What every operation of the Redis adapter is made of."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.redis_entries import Before, from_bytes
from penelope.adapters.actions.redis_model import PROOFS, RedisOptions, RedisStruct
from penelope.domain.action import Action, Difference, Effect, Preview, Progress
from penelope.kit.canonical import Json

if TYPE_CHECKING:
    from redis.asyncio import Redis

State = dict[str, Json]
"""Of a snapshot."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call: the action, its target's options, where snapshots lie, and the connection."""

    action: Action
    options: RedisOptions
    keep: Keep
    client: "Redis"

    @property
    def proof(self) -> bytes:
        """The key that says what became of the action; it is written together with the effect."""
        return (PROOFS + self.action.key).encode()

    async def proven(self) -> bytes | None:
        value = await self.client.get(self.proof)
        return value.encode() if isinstance(value, str) else value

    def kept(self, state: State) -> list[Before]:
        return from_bytes(self.keep.get(str(state["kept"])))


class RedisDeed(ABC):
    """One operation."""

    shape: ClassVar[type[RedisStruct]]

    @abstractmethod
    def check(self, params: Json) -> None:
        """What the shape alone does not say. Raises InvalidPlaybook."""

    @abstractmethod
    async def snapshot(self, job: Job) -> State: ...

    @abstractmethod
    async def preview(self, job: Job, state: State) -> Preview: ...

    @abstractmethod
    async def probe(self, job: Job, state: State) -> Progress: ...

    @abstractmethod
    async def execute(self, job: Job, state: State) -> Effect: ...

    @abstractmethod
    async def compensate(self, job: Job, state: State) -> Effect: ...

    @abstractmethod
    async def differences(self, job: Job, state: State) -> list[Difference]: ...

    @abstractmethod
    async def observe(self, job: Job) -> dict[str, Json]: ...
