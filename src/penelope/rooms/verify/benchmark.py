"""Measures what a suite of probes asks for, all at once and each within its time."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.service import Service
from penelope.errors import PenelopeError
from penelope.rooms.verify.ports import Prober

_LONGEST_NOTE = 200
"""Characters of a note, which goes into history."""


async def measure(
    service: Service, probes: Iterable[Probe], probers: Mapping[str, Prober], since: datetime
) -> dict[str, Measurement]:
    """What was found, by probe. A probe that breaks, or takes too long, has no figure: that is unknown, not bad."""
    probes = list(probes)
    found = await asyncio.gather(*(_measured(service, probe, probers, since) for probe in probes))
    return {probe.name: item for probe, item in zip(probes, found, strict=True)}


async def _measured(
    service: Service, probe: Probe, probers: Mapping[str, Prober], since: datetime
) -> Measurement:
    prober = probers.get(probe.kind)
    if prober is None:
        return Measurement(note=f"cannot be measured: no probe of the kind {probe.kind} is installed")
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            return _checked(await prober.measure(service, probe, since))
    except TimeoutError:
        return Measurement(note=f"took longer than {probe.timeout_seconds:g} s")
    except PenelopeError as error:
        return Measurement(note=_short(error.message))
    except Exception as error:  # noqa: BLE001 - a probe of somebody else's must not end the story
        # Without its text, which may hold options.
        return Measurement(note=f"its probe broke: {type(error).__name__}")


def _checked(found: object) -> Measurement:
    """What a probe answered, short. Raises TypeError for what is no measurement: probes may be somebody else's."""
    if not isinstance(found, Measurement) or isinstance(found.figure, bool):
        raise TypeError(f"{type(found).__name__} is no measurement")
    if found.figure is not None and not isinstance(found.figure, int | float):
        raise TypeError(f"{type(found.figure).__name__} is no figure")
    return replace(found, note=_short(found.note))


def _short(note: str) -> str:
    return note if len(note) <= _LONGEST_NOTE else f"{note[:_LONGEST_NOTE]}…"
