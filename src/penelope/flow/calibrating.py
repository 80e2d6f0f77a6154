"""What calibration is asked of; the store fulfils the port."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.rooms.learn.calibration import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Which past cases count: those that ended since a moment, of one service and playbook or of all."""

    since: datetime
    service: str | None = None
    playbook: str | None = None


class PastReader(Protocol):
    """Reads past cases that were committed."""

    async def predictions(self, wanted: Lived) -> Sequence[Prediction]:
        """What was predicted where a playbook acted, and what came of it; imported cases predict nothing."""
