"""Small worlds that a playbook is tried in: each can be broken as its playbook expects, and looked at without Penelope."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from penelope.adapters.actions.installed import Kind
from penelope.domain.counts import Series
from penelope.domain.rollout import ArmFigures
from penelope.domain.service import Service
from penelope.domain.signal import Severity
from penelope.kit.canonical import Json
from penelope.testing.metrics import figures

GROUP = "penelope.worlds"
"""The group of entry points in which a package names its worlds."""


class World(ABC):
    """A service small enough to be started for a test, with the fault that one playbook mends.

    The test kit opens a world once, resets it before each trial, breaks it, lets Penelope act on `service()` through the
    adapters that are installed, in processes that it kills, and then asks the world itself what is there. A world
    outlives those processes, so nothing of it may lie in Penelope's. Only `open` may take long.
    """

    playbook: ClassVar[str]
    """The name of the playbook that it is for."""
    thing: ClassVar[str]
    """What acts here, in words: "a real PostgreSQL 18", "a server that validates with the official schemas"."""
    real: ClassVar[bool]
    """Whether that is the real thing, not a double of it."""
    signal_name: ClassVar[str]
    """The alert that the fault raises."""
    severity: ClassVar[Severity] = Severity.CRITICAL
    labels: ClassVar[Mapping[str, str]] = {}
    adapters: ClassVar[Mapping[str, Kind]] = {}
    """Adapters that come with the world, by name, beside those that are installed. Other processes make them, too."""

    @abstractmethod
    async def open(self, folder: Path) -> None:
        """Starts what it needs, keeping its files in an empty folder. Raises Unavailable, saying what is missing here."""

    @abstractmethod
    async def close(self) -> None:
        """Ends all that `open` started, also after an `open` that failed half-way."""

    @abstractmethod
    async def reset(self) -> None:
        """Makes it healthy, as it was when it was opened, whatever a trial left behind."""

    @abstractmethod
    async def break_it(self) -> None:
        """Makes the fault, and returns once it shows."""

    @abstractmethod
    def service(self) -> Service:
        """What the catalogue says of it. Targets carry their options; `metrics` is left to the kit."""

    @abstractmethod
    async def healthy(self) -> bool:
        """Whether its users are served well, found out without Penelope's adapters."""

    @abstractmethod
    async def state(self) -> Json:
        """All that the playbook may change, in a form that can be compared: equal before an action and after its
        rollback. Without what nobody can restore, such as process ids and times.
        """

    async def changes(self) -> Mapping[str, Json]:
        """What evidence would say of its targets' recent changes, by concept: ``change.<target>.<what>``."""
        return {}

    async def gauges(self) -> Mapping[str, float]:
        """Its gauges, for clauses on ``metric.<name>``; `healthy` decides over the error ratio and latency by itself."""
        return {}

    async def figures(self) -> Mapping[str, ArmFigures]:
        """What its users saw lately, by arm. By default one arm, by `healthy`: all requests served, or most failing."""
        healthy = await self.healthy()
        errors, seconds = (0, 0.02) if healthy else (60, 2.0)
        return {"a": figures(100, errors, seconds)}

    async def counts(self) -> Mapping[str, Series]:
        """Counters of its arms since it was opened, for playbooks that roll out; by default it has no arms."""
        return {}

    async def effects(self) -> Mapping[str, int]:
        """How often each of its things was changed since the last reset, where it counts that itself: starts of a
        program, requests that had an effect. The kit holds against it that nothing happened twice.
        """
        return {}
