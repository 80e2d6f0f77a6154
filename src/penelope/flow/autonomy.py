"""Keeps what each playbook has earned on each service: every rise and fall is a unit of work with its figures."""

import re
from dataclasses import dataclass, replace

from penelope.domain.approval import Approval
from penelope.domain.autonomy import Level, Standing
from penelope.domain.outcome import Outcome
from penelope.domain.work import Change
from penelope.errors import InvalidRequest
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id
from penelope.rooms.learn.autonomy import (
    Policy,
    beginning,
    bounds,
    compared,
    failed,
    placed,
    succeeded,
)

KIND = "autonomy"

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True, slots=True)
class Word:
    """Who says what about a pair, and on the occasion of which incident, if any.

    The words go into history alone, from where a person's can be erased.
    """

    actor: str
    says: str
    incident: str = ""


def unit_name(playbook: str, service: str) -> str:
    """The unit of a pair. Names that could be read in two ways, such as ``a:b``, are told apart by a digest."""
    if _PLAIN.fullmatch(playbook) and _PLAIN.fullmatch(service):
        return f"{KIND}:{playbook}:{service}"
    return f"{KIND}:{digest_id(playbook, service)}"


async def standing_of(transaction: Transaction, policy: Policy, playbook: str, service: str) -> Standing:
    """Where a pair stands, under the caps that are in force now; locked like `unit`."""
    unit = await transaction.unit(unit_name(playbook, service))
    if unit is None:
        return beginning(policy, playbook, service, transaction.now())
    return under(policy, from_data(Standing, unit.attributes))


def under(policy: Policy, standing: Standing) -> Standing:
    """A standing as it was stored, under the caps that are in force now."""
    return replace(standing, cap=policy.cap_of(standing.playbook, standing.service))


async def learn(transaction: Transaction, policy: Policy, outcome: Outcome) -> list[Change]:
    """What the outcome of a plan that acted does to its playbook's standing."""
    if outcome.playbook is None or outcome.verified is None:
        return []
    before = await standing_of(transaction, policy, outcome.playbook, outcome.service)
    word = Word(records.PENELOPE, "a success was verified", outcome.incident)
    if outcome.verified:
        return [change_of(before, succeeded(before, policy), word)]
    word = replace(word, says=f"it failed: {outcome.reason}")
    return [change_of(before, failed(before, policy, transaction.now(), word.says), word)]


async def refused(transaction: Transaction, policy: Policy, approval: Approval) -> list[Change]:
    """What a person's refusal of a plan does to the standing of its playbook: an override."""
    for unit in await transaction.units(approval.incident, "plan"):
        if unit.attributes["digest"] == approval.plan_digest:
            pair = str(unit.attributes["playbook"]), str(unit.attributes["service"])
            word = Word(
                approval.decided_by or records.PENELOPE, "a person refused its plan", approval.incident
            )
            return [await override(transaction, policy, pair, word)]
    return []


async def override(transaction: Transaction, policy: Policy, pair: tuple[str, str], word: Word) -> Change:
    """A person has overridden what was done or was about to be done."""
    before = await standing_of(transaction, policy, *pair)
    after = failed(before, policy, transaction.now(), "a person overrode it")
    return change_of(before, after, word)


async def compare(
    transaction: Transaction, policy: Policy, pair: tuple[str, str], word: Word, *, agreed: bool
) -> Change:
    """What people did is held against what would have been done."""
    before = await standing_of(transaction, policy, *pair)
    return change_of(before, compared(before, policy, agreed=agreed), word)


async def place(engine: Engine, policy: Policy, pair: tuple[str, str], level: Level, word: Word) -> Standing:
    """A person lowers or raises a pair. Raises InvalidRequest above its cap."""

    async def body(transaction: Transaction) -> Json:
        before = await standing_of(transaction, policy, *pair)
        if level > before.cap:
            message = f"{pair[0]} on {pair[1]} is capped at {before.cap.value} by policy"
            raise InvalidRequest(message, hint="Choose a lower level, or change the caps in the settings.")
        after = placed(before, level, transaction.now(), "a person placed it here")
        await transaction.save(replace(change_of(before, after, word), event="AutonomySet"))
        return after

    standing: Standing = await engine.transaction("set autonomy", body)
    return standing


def change_of(before: Standing, after: Standing, word: Word) -> Change:
    """The change with its figures. It belongs to no incident: many come and go while a standing stays."""
    low, high = bounds(after)
    return Change(
        unit=unit_name(after.playbook, after.service),
        kind=KIND,
        incident="",
        status=after.level.value,
        attributes=to_data(after),
        event=_event(before, after),
        actor=word.actor,
        reason=after.reason if after.level > before.level else word.says,
        details={
            "playbook": after.playbook,
            "service": after.service,
            "from": before.level.value,
            "cap": after.cap.value,
            "lowest": round(low, 4),
            "highest": round(high, 4),
            "successes": after.successes,
            "failures": after.failures,
            "agreements": after.agreements,
            "disagreements": after.disagreements,
            "incident": word.incident,
        },
    )


def _event(before: Standing, after: Standing) -> str:
    if after.level is before.level:
        return "AutonomyCounted"
    return "AutonomyRaised" if after.level > before.level else "AutonomyLowered"
