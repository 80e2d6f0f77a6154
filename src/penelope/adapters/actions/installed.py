"""The action adapters that are installed, by the entry points of their packages."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from penelope.domain.action import Operation
from penelope.domain.service import Service
from penelope.errors import BadSettings
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.rollout.ports import Router

GROUP = "penelope.actions"
"""The group of entry points in which a package names its adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an adapter may need of the house beside a target's options."""

    services: Mapping[str, Service]
    routers: Mapping[str, Router]
    keep: Path
    """Where snapshots lie that are too large, or too private, for history (adapters/actions/keep.py)."""


class Kind(Protocol):
    """What an entry point names: the class of an adapter. Importing it must need no optional package."""

    name: str
    operations: Mapping[str, Operation]
    made: Callable[[Surroundings], ActionAdapter]
    """A class method."""


@cache
def installed() -> Mapping[str, Kind]:
    """The adapters of all packages, by name. Raises as `load`."""
    return load(entry_points(group=GROUP))


def load(points: Iterable[EntryPoint]) -> Mapping[str, Kind]:
    """The adapters that entry points name.

    Raises BadSettings where two bring one of the same name, where one bears another name than its adapter, and for
    one that cannot be loaded.
    """
    kinds: dict[str, Kind] = {}
    for point in points:
        try:
            kind: Kind = point.load()
        except Exception as error:
            hint = f"Mend or remove the package that brings {point.value}."
            raise BadSettings(
                f"the action adapter {point.name!r} cannot be loaded: {error}", hint=hint
            ) from error
        if point.name in kinds or kind.name != point.name:
            hint = "An entry point bears the name of its adapter, and each name is there once."
            raise BadSettings(
                f"the action adapter {point.name!r} ({point.value}) is called as another", hint=hint
            )
        kinds[point.name] = kind
    return kinds


def operations() -> Mapping[str, Mapping[str, Operation]]:
    """What the installed adapters can do; playbooks are checked against it. Raises as `installed`."""
    return {name: kind.operations for name, kind in installed().items()}
