"""The kinds of probes that are installed, by the entry points of their packages."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

import msgspec

from penelope.domain.benchmark import Probe
from penelope.domain.service import Service
from penelope.errors import BadSettings, InvalidCatalogue
from penelope.kit.codec import to_data
from penelope.rooms.verify.ports import MetricReader, Prober

GROUP = "penelope.probes"
"""The group of entry points in which a package names its probes."""

Options = TypeVar("Options", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a probe may need of the house beside its options."""

    metrics: MetricReader


class Kind(Protocol):
    """What an entry point names: a class. Importing it must need no optional package."""

    name: str
    made: Callable[[Surroundings], Prober]
    """A class method."""
    check: Callable[[Service, Probe], None]
    """A static method. Raises InvalidCatalogue for options that cannot be used, without showing any value."""


def installed() -> Mapping[str, Kind]:
    """The kinds of all packages, by name. Raises BadSettings for one that cannot be loaded or bears another's name."""
    return load(entry_points(group=GROUP))


def load(points: Iterable[EntryPoint]) -> Mapping[str, Kind]:
    """The kinds that entry points name. Raises as `installed`."""
    kinds: dict[str, Kind] = {}
    for point in points:
        try:
            kind: Kind = point.load()
        except Exception as error:
            hint = f"Mend or remove the package that brings {point.value}."
            raise BadSettings(f"the probe {point.name!r} cannot be loaded: {error}", hint=hint) from error
        if point.name in kinds or kind.name != point.name:
            hint = "An entry point bears the name of its probe, and each name is there once."
            raise BadSettings(f"the probe {point.name!r} ({point.value}) is called as another", hint=hint)
        kinds[point.name] = kind
    return kinds


def probers(services: Iterable[Service], metrics: MetricReader) -> Mapping[str, Prober]:
    """What measures the benchmarks of these services, by kind.

    Raises InvalidCatalogue where a probe is of a kind that is not installed, or has options that do not fit.
    """
    kinds = installed()
    for service in services:
        for probe in (probe for probes in service.benchmarks.values() for probe in probes):
            if probe.kind not in kinds:
                message = f"{where(service, probe)} is of the kind {probe.kind!r}, which is not installed"
                raise InvalidCatalogue(message, hint=f"There are {', '.join(sorted(kinds))}.")
            kinds[probe.kind].check(service, probe)
    surroundings = Surroundings(metrics=metrics)
    return {name: kind.made(surroundings) for name, kind in kinds.items()}


def where(service: Service, probe: Probe) -> str:
    """What an error calls a probe."""
    return f"the benchmark {probe.name!r} of service {service.name!r}"


def read(kind: type[Options], service: Service, probe: Probe) -> Options:
    """The options of a probe. Raises InvalidCatalogue, without showing any value."""
    try:
        return msgspec.convert(to_data(probe.options), kind)
    except msgspec.ValidationError as error:
        raise InvalidCatalogue(f"the options of {where(service, probe)} do not fit: {error}") from None
