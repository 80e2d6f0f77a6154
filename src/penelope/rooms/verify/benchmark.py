"""Measures what a suite of probes asks for, all at once and each within its time."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime

from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.service import Service
from penelope.errors import PenelopeError
from penelope.rooms.verify.ports import Prober

_LONGEST_NOTE = 200


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
            return await prober.measure(service, probe, since)
    except TimeoutError:
        return Measurement(note=f"took longer than {probe.timeout_seconds:g} s")
    except PenelopeError as error:
        return Measurement(note=error.message[:_LONGEST_NOTE])
    except Exception as error:  # noqa: BLE001 - a probe of somebody else's must not end the story
        # Without its text, which may hold options.
        return Measurement(note=f"its probe broke: {type(error).__name__}")
