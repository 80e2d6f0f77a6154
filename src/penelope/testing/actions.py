"""An action adapter whose target is a dict."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto

from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot
from penelope.errors import ActionFailed, CompensationFailed, Unavailable, UnknownAdapter
from penelope.kit.canonical import Json


class Mood(Enum):
    """How the next executions and compensations go; OUT_OF_REACH spoils every method."""

    WELL = auto()
    FAILS = auto()
    HANGS = auto()
    LOSES_THE_ANSWER = auto()
    OUT_OF_REACH = auto()


class FakeAction:
    """Writes an action's parameters into `world` under the target's name.

    `effects` and `compensations` count by the action's key what really happened, whatever was answered.
    Set `can_tell` to False for a target that cannot be probed.
    """

    def __init__(self, name: str = "fake", operations: Collection[str] = ("set",)) -> None:
        self.name = name
        self.operations = {each: Operation(summary="Set values", params={}) for each in operations}
        self.mood = Mood.WELL
        self.can_tell = True
        self.world: dict[str, dict[str, Json]] = {}
        self.effects: Counter[str] = Counter()
        self.compensations: Counter[str] = Counter()
        self._in_effect: set[str] = set()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:  # noqa: ARG002 - any will do
        if operation not in self.operations:
            raise UnknownAdapter(f"the adapter {self.name!r} has no operation {operation!r}")

    async def snapshot(self, action: Action) -> Snapshot:
        self._reach()
        return Snapshot(state={"before": self.world.get(action.target.name)})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - any world will do
        self._reach()
        lines = "".join(f"+{name}: {value}\n" for name, value in sorted(action.params.items()))
        return Preview(summary=f"{action.target.name} would be set", diff=lines)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the key tells
        self._reach()
        if not self.can_tell:
            return Progress.UNKNOWN
        return Progress.APPLIED if action.key in self._in_effect else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the key tells
        self._reach()
        if self.mood is Mood.FAILS:
            raise ActionFailed(f"{action.name} fails, as it was told to")
        if self.mood is Mood.HANGS:
            await asyncio.Event().wait()
        self.world[action.target.name] = dict(action.params)
        self.effects[action.key] += 1
        self._in_effect.add(action.key)
        self._answer()
        return Effect(summary=f"{action.operation} of {action.target.name}", details=dict(action.params))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        self._reach()
        if self.mood is Mood.FAILS:
            raise CompensationFailed(f"{action.name} stays, as it was told to")
        if self.mood is Mood.HANGS:
            await asyncio.Event().wait()
        repeated = action.key not in self._in_effect
        if not repeated:
            self._in_effect.remove(action.key)
            self.compensations[action.key] += 1
            self._put_back(action.target.name, snapshot.state["before"])
        self._answer()
        return Effect(summary=f"{action.target.name} is as before", repeated=repeated)

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        self._reach()
        before, now = snapshot.state["before"], self.world.get(action.target.name)
        return [] if before == now else [Difference(subject=action.target.name, before=before, now=now)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        self._reach()
        return dict(self.world.get(action.target.name, {}))

    def _put_back(self, target: str, before: dict[str, Json] | None) -> None:
        if before is None:
            self.world.pop(target, None)
        else:
            self.world[target] = before

    def _reach(self) -> None:
        if self.mood is Mood.OUT_OF_REACH:
            raise Unavailable(f"the target of {self.name!r} is out of reach, as it was told to")

    def _answer(self) -> None:
        if self.mood is Mood.LOSES_THE_ANSWER:
            raise Unavailable("the answer was lost, as it was told to")
