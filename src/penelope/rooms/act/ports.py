"""What `act` needs from outside: adapters that change things."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot
from penelope.kit.canonical import Json


class ActionAdapter(Protocol):
    """Changes one kind of target. Every method may raise Unavailable or Timeout when the target is out of reach.

    The conformance suite in tests/ports/actions holds every implementation to these promises.
    """

    name: str
    operations: Mapping[str, Operation]

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        """Refuses, before anything runs, an operation that does not exist or parameters that cannot work.

        Raises UnknownAdapter for the operation, InvalidPlaybook or InvalidPatch for the parameters.
        """

    async def snapshot(self, action: Action) -> Snapshot:
        """What `compensate` needs to restore the target and `probe` needs to recognise the effect."""

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        """What `execute` would change now. Changes nothing, and shows no secret. Raises ActionFailed where it could
        certainly not be done.
        """

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        """Whether this action (by its key, or by comparing with the snapshot) took effect. Changes nothing."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        """Carries the action out, or carries a half-done one to its end.

        Raises ActionFailed when it certainly did not take effect, OutcomeUnknown when that cannot be said.
        """

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        """Puts back what the snapshot holds; doing it twice is harmless. Raises CompensationFailed."""

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """Where the target is not as the snapshot holds it; none once the action was taken back. What no compensation
        can restore (a process id, a time of change) is no difference. Changes nothing, and shows no secret.
        """

    async def observe(self, action: Action) -> Mapping[str, Json]:
        """The target's present state, for contract clauses with subject ``state.<key>``."""


class Secrets(Protocol):
    """Where credentials come from, so that neither catalogue, playbook nor history holds any."""

    async def read(self, reference: str) -> str:
        """What a reference such as ``secret://env/SECRET_PG`` stands for.

        Raises BadSettings for one that names nothing, Unavailable while its store does not answer.
        """
