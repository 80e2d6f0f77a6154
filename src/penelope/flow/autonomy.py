"""Keeps what each playbook has earned on each service: every rise and fall is a unit of work with its figures."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from penelope.domain.approval import Approval
from penelope.domain.autonomy import Comparison, Level, Standing
from penelope.domain.incident import Incident
from penelope.domain.intervention import Heal
from penelope.domain.outcome import Outcome
from penelope.domain.quorum import Bench
from penelope.domain.work import Change
from penelope.errors import ChainBroken, InvalidRequest
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

DEFAULTS = Policy()
"""The policy where nobody has set another."""

_log = logging.getLogger(__name__)
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


async def standing_of(
    transaction: Transaction, policy: Policy, playbook: str, service: str
) -> Standing | None:
    """Where a pair stands, under the caps that are in force now; None where what is stored of it cannot be believed.

    It is read without a lock: transactions are serializable, and of two that count at once one is made again.
    """
    name = unit_name(playbook, service)
    found = await transaction.peek([name])
    if name not in found:
        return beginning(policy, playbook, service, transaction.now())
    unit = found[name]
    try:
        standing = None if unit is None else from_data(Standing, unit.attributes)
    except ValueError:
        return None
    return None if standing is None else under(policy, standing)


def under(policy: Policy, standing: Standing) -> Standing:
    """A standing as it was stored, under the caps that are in force now."""
    return replace(standing, cap=policy.cap_of(standing.playbook, standing.service))


async def learn(transaction: Transaction, policy: Policy, outcome: Outcome) -> list[Change]:
    """What the outcome of a plan that acted does to its playbook's standing."""
    playbook = await _tried(transaction, outcome)
    if playbook is None:
        return []
    pair = playbook, outcome.service
    if outcome.verified:
        word = Word(records.PENELOPE, "a success was verified", outcome.incident)
        return await _counted(transaction, policy, pair, word, lambda found: succeeded(found, policy))
    word = Word(records.PENELOPE, f"it failed: {outcome.reason}", outcome.incident)
    return await _fallen(transaction, policy, pair, word, word.says)


async def _tried(transaction: Transaction, outcome: Outcome) -> str | None:
    """The playbook that acted. A story that broke off cannot name it; then it is the one that was let through."""
    if outcome.verified is None or outcome.playbook is not None:
        return None if outcome.verified is None else outcome.playbook
    let_through = await transaction.intervention(outcome.incident)
    return None if let_through is None else let_through.playbook


async def relapsed(transaction: Transaction, policy: Policy, heal: Heal, again: Incident) -> list[Change]:
    """What was healed and came back was not healed: its playbook falls by that heal, if it has not before."""
    unit = await transaction.unit(records.outcome_unit(heal.incident))
    outcome = None if unit is None else from_data(Outcome, unit.attributes)
    if outcome is None or outcome.relapsed_as is not None:
        return []
    why = f"what it healed in incident {heal.incident} came back"
    marked = records.of_outcome(replace(outcome, relapsed_as=again.id), "OutcomeRelapsed")
    changes = [replace(marked, reason=f"it came back as incident {again.id}")]
    report = await transaction.unit(records.report_unit(heal.incident))
    if report is None or report.status != Comparison.OVERRIDDEN:
        word = Word(records.PENELOPE, f"{why} as {again.id}", heal.incident)
        changes += await _fallen(transaction, policy, (heal.playbook, again.service), word, why)
    return changes


async def refused(transaction: Transaction, policy: Policy, approval: Approval) -> list[Change]:
    """What a person's refusal of a plan does to the standing of its playbook: an override. A machine's does nothing."""
    if not any(not vote.approve and not Bench(role=vote.seat).machine for vote in approval.votes):
        return []
    for unit in await transaction.units(approval.incident, "plan"):
        if unit.attributes["digest"] == approval.plan_digest:
            pair = str(unit.attributes["playbook"]), str(unit.attributes["service"])
            word = Word(
                approval.decided_by or records.PENELOPE, "a person refused its plan", approval.incident
            )
            return await override(transaction, policy, pair, word)
    return []


async def override(
    transaction: Transaction, policy: Policy, pair: tuple[str, str], word: Word
) -> list[Change]:
    """A person has overridden what was done or was about to be done."""
    return await _fallen(transaction, policy, pair, word, "a person overrode it")


async def compare(
    transaction: Transaction, policy: Policy, pair: tuple[str, str], word: Word, *, agreed: bool
) -> list[Change]:
    """What people did is held against what would have been done."""
    return await _counted(
        transaction, policy, pair, word, lambda found: compared(found, policy, agreed=agreed)
    )


async def _fallen(
    transaction: Transaction, policy: Policy, pair: tuple[str, str], word: Word, why: str
) -> list[Change]:
    now = transaction.now()
    return await _counted(transaction, policy, pair, word, lambda found: failed(found, policy, now, why))


async def _counted(
    transaction: Transaction,
    policy: Policy,
    pair: tuple[str, str],
    word: Word,
    step: Callable[[Standing], Standing],
) -> list[Change]:
    before = await standing_of(transaction, policy, *pair)
    if before is None:
        # It lets nothing through as it is; neither an incident's end nor a person's no is held up by it.
        _log.error("the standing of %s on %s cannot be believed, and so counts nothing", *pair)
        return []
    return [change_of(before, step(before), word)]


async def place(engine: Engine, policy: Policy, pair: tuple[str, str], level: Level, word: Word) -> Standing:
    """A person lowers or raises a pair. Raises InvalidRequest above its cap, ChainBroken where nobody can tell its past."""

    async def body(transaction: Transaction) -> Json:
        before = await standing_of(transaction, policy, *pair)
        if before is None:
            raise ChainBroken(f"what is stored of {pair[0]} on {pair[1]} is not what history says")
        if level > before.cap:
            message = f"{pair[0]} on {pair[1]} is capped at {before.cap.value} by policy"
            raise InvalidRequest(message, hint="Choose a lower level, or change the caps in the settings.")
        after = placed(before, level, transaction.now(), "a person placed it here")
        change = change_of(before, after, word)
        await transaction.save(replace(change, event="AutonomySet", reason=word.says))
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
