"""What `verify` needs from outside: eyes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from penelope.domain.action import Action
from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.metrics import Reading
from penelope.domain.service import Service
from penelope.kit.canonical import Json


class MetricReader(Protocol):
    """Reads a service's figures since a moment."""

    async def read_since(self, service: Service, since: datetime, window_seconds: float) -> Reading:
        """Figures from samples taken after `since`, at most `window_seconds` back. Raises Unavailable."""


class StateReader(Protocol):
    """Reads the state of an action's target."""

    async def observe(self, action: Action) -> Mapping[str, Json]:
        """State by key. Raises Unavailable."""


class Prober(Protocol):
    """Measures one kind of figure."""

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Measurement:
        """One figure, of what happened after `since` where it is one of a period. Raises Unavailable, Timeout.

        What is wrong with the service itself is returned as a failure; what is not known, without a figure.
        """
