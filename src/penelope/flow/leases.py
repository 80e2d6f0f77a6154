"""The right to change a target, as the story sees it."""

from typing import Protocol

from penelope.domain.action import Action
from penelope.domain.lease import Lease


class Leases(Protocol):
    """Reads and writes inside a transaction."""

    async def take(self, target: str, holder: str, incident: str) -> int | None:
        """The fencing token with which an action holds the target from now on; None where another action holds it."""

    async def of(self, target: str) -> Lease | None:
        """Who holds a target, if anybody does."""

    async def beat(self, target: str, holder: str, fence: int) -> bool:
        """Notes that the holder is alive. False where the lease has passed on."""

    async def give_back(self, target: str, holder: str) -> None:
        """Frees a target, if the action holds it."""

    async def give_back_all(self, incident: str) -> None:
        """Frees what actions of an incident hold."""


def place_of(action: Action) -> str:
    """What a lease on the action's target is kept under."""
    return f"{action.target.service}/{action.target.name}"
