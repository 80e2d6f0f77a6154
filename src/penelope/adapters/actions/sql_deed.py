"""What every operation of the SQL adapter is made of."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.sql_model import SqlOptions, Struct
from penelope.adapters.actions.sql_session import Session
from penelope.domain.action import Action, Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed
from penelope.kit.canonical import Json

State = dict[str, Json]
"""Of a snapshot."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call: the action, its target's options, where snapshots lie, and the connection."""

    action: Action
    options: SqlOptions
    keep: Keep
    session: Session


class Deed(ABC):
    """One operation. All but `check` run in a thread of their own, on a fresh connection."""

    databases: ClassVar[tuple[str, ...]] = ("postgresql", "sqlite")
    shape: ClassVar[type[Struct]]

    def check(self, params: Json) -> None:  # noqa: B027 - most shapes say all
        """What the shape alone does not say. Raises InvalidPlaybook."""

    @abstractmethod
    def snapshot(self, job: Job) -> State: ...

    @abstractmethod
    def preview(self, job: Job, state: State) -> Preview: ...

    @abstractmethod
    def probe(self, job: Job, state: State) -> Progress: ...

    @abstractmethod
    def execute(self, job: Job, state: State) -> Effect: ...

    @abstractmethod
    def compensate(self, job: Job, state: State) -> Effect: ...

    @abstractmethod
    def differences(self, job: Job, state: State) -> list[Difference]: ...

    @abstractmethod
    def observe(self, job: Job) -> dict[str, Json]: ...

    def require_database(self, job: Job) -> None:
        if job.session.kind not in self.databases:
            raise ActionFailed(f"{job.action.operation} is for {' and '.join(self.databases)} only")
