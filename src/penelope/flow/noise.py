"""Keeps what calibrations learned of a service's noise, and gives it to the deployments that come after."""

from dataclasses import replace
from typing import NamedTuple

from penelope.domain.calibration import Learned, fit_for_use
from penelope.domain.deployment import Deployment
from penelope.domain.work import Change, UnitOfWork
from penelope.flow import records
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id
from penelope.rooms.rollout.calibrating import learned_of
from penelope.rooms.rollout.lesson import Lesson
from penelope.rooms.rollout.look import Kept

KIND = "tempering"
"""The kind of these units: one for each service that was ever calibrated; they belong to no incident."""

LEARNED = "learned"
TOO_LITTLE = "too_little"


class Concluded(NamedTuple):
    """A calibration at its end, and what is to be kept of it."""

    deployment: Deployment
    changes: tuple[Change, ...]


def unit_of(service: str) -> str:
    """The id of what was learned of a service."""
    return f"{KIND}_{digest_id(service)}"


async def with_noise(transaction: Transaction, deployment: Deployment) -> Deployment:
    """A deployment that begins, with what was learned of its service where its course asks for that; and says which."""
    course = deployment.course
    if course.calibrates:
        return replace(deployment, noise="learns the noise of this service")
    if not course.asks_for_noise:
        return replace(
            deployment, noise="noise as the course says; what was learned of this service is not used"
        )
    name = unit_of(deployment.service)
    found = await transaction.peek([name])
    if name in found and found[name] is None:
        return replace(deployment, noise="what was learned of the noise cannot be read: taken for none")
    unit = found.get(name)
    learned, said = fit_for_use(None if unit is None else _learned(unit), transaction.now())
    return replace(deployment, learned=learned, noise=said)


async def concluded(transaction: Transaction, kept: Kept, deployment: Deployment) -> Concluded:
    """What a calibration learned. Too little does not take the place of what was learned before."""
    learned = learned_of(deployment, kept.memory.lesson or Lesson(), transaction.now())
    after = replace(deployment, learned=learned, noise=learned.words, reason=learned.words)
    name = unit_of(deployment.service)
    # Nobody else changes it meanwhile: a service has one deployment at a time.
    found = await transaction.peek([name])
    unit = found.get(name)
    if name in found and unit is None:
        lost = f"{learned.words}; this is not kept, for what was kept before was tampered with"
        return Concluded(replace(after, reason=lost), ())
    if unit is not None and not learned.taught:
        return Concluded(after, ())
    change = Change(
        unit=name,
        kind=KIND,
        incident="",
        status=LEARNED if learned.taught else TOO_LITTLE,
        attributes={"learned": to_data(learned)},
        event="NoiseLearned" if learned.taught else "NoiseNotLearned",
        actor=records.PENELOPE,
        reason=learned.words,
        details={"service": deployment.service, "deployment": deployment.id},
        version=0 if unit is None else unit.version,
    )
    return Concluded(after, (change,))


def _learned(unit: UnitOfWork) -> Learned:
    return from_data(Learned, unit.attributes["learned"])
