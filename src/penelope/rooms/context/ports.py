"""What `context` needs from outside: figures, and what changed lately."""

from collections.abc import Mapping
from typing import Protocol

from penelope.domain.metrics import Reading
from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json


class MetricReader(Protocol):
    """Reads a service's figures."""

    async def read(self, service: Service, window_seconds: float) -> Reading:
        """Figures over the last `window_seconds`. Raises Unavailable when no instance answers."""


class ChangeReader(Protocol):
    """Tells what changed lately on a target."""

    async def changes(self, target: Target) -> Mapping[str, Json]:
        """Facts such as ``release``, ``previous_release``, ``head`` or ``last_change``; empty where none are kept.

        Raises Unavailable when the target is out of reach.
        """
