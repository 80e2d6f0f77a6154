"""What the gate's rules need from outside: languages for policies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penelope.domain.gate import Ruling
from penelope.rooms.gate.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What one policy has against a request: REFUSE or ASK. `broken` tells why it could not be judged, if so."""

    policy: str
    ruling: Ruling
    message: str
    broken: str = ""


class Policies(Protocol):
    """Policies that were read and checked before."""

    def __len__(self) -> int:
        """How many there are."""

    def objections(self, facts: Facts) -> Sequence[Objection]:
        """What they have against it, in their order; none if nothing. One that breaks refuses."""
