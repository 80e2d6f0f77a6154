"""Holds what people did about an incident against what Penelope did or would have done."""

from collections.abc import Collection
from dataclasses import dataclass

from penelope.domain.autonomy import Comparison
from penelope.domain.decision import Judgement
from penelope.domain.incident import Incident
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import AlreadyDecided, InvalidRequest, UnknownPlaybook
from penelope.flow import records
from penelope.flow.autonomy import Word, compare, override
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data, to_data
from penelope.rooms.learn.autonomy import Policy

OTHER, NOTHING = "other", "nothing"
"""What people may have done beside running a playbook; a playbook of such a name cannot be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a person says was done: the name of a playbook, OTHER or NOTHING."""

    incident: str
    actor: str
    did: str
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of a report. `playbook` is the one that it is held against, if any."""

    incident: str
    service: str
    did: str
    comparison: Comparison
    playbook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """What is looked up of a decision."""

    judgement: Judgement
    playbook: str | None = None


async def report(
    transaction: Transaction, policy: Policy, playbooks: Collection[str], told: Report
) -> Reported:
    """Records a report, and what it does to the standing of the playbook, once an incident.

    Raises UnknownIncident, UnknownPlaybook, InvalidRequest before the incident has ended, and AlreadyDecided where
    it was reported before.
    """
    if told.did not in {OTHER, NOTHING, *playbooks}:
        raise UnknownPlaybook(f"there is no playbook {told.did!r}", hint=f"Or say {OTHER!r} or {NOTHING!r}.")
    incident = await records.incident_of(transaction, told.incident)
    if not incident.state.ended:
        hint = "Answer its approval, or wait until it has ended."
        raise InvalidRequest(f"incident {incident.id} is still Penelope's to handle", hint=hint)
    name = records.report_unit(incident.id)
    if await transaction.unit(name) is not None:
        raise AlreadyDecided(f"what was done about incident {incident.id} was reported before")
    reported = _held_against(
        incident,
        told,
        await transaction.unit(records.decision_unit(incident.id)),
        await transaction.unit(records.outcome_unit(incident.id)),
    )
    learnt = await _learnt(transaction, policy, reported, told)
    await transaction.save(_change(name, reported, told), *learnt)
    return reported


def _held_against(
    incident: Incident, told: Report, decided: UnitOfWork | None, ended: UnitOfWork | None
) -> Reported:
    decision = None if decided is None else from_data(_Decided, decided.attributes)
    outcome = None if ended is None else from_data(Outcome, ended.attributes)
    playbook, comparison = None if decision is None else decision.playbook, Comparison.NOTED
    same = told.did == playbook and told.did not in {OTHER, NOTHING}
    if decision is None or playbook is None or outcome is None:
        pass
    elif not outcome.acted:
        if decision.judgement is not Judgement.OBSERVE:
            comparison = Comparison.AGREED if same else Comparison.DIFFERED
    elif (
        outcome.kind is OutcomeKind.HEALED
        and outcome.relapsed_as is None
        and not same
        and told.did != NOTHING
    ):
        # What failed, or came back, has fallen already, and falls once an incident.
        comparison = Comparison.OVERRIDDEN
    return Reported(
        incident=incident.id,
        service=incident.service,
        did=told.did,
        comparison=comparison,
        playbook=playbook,
    )


async def _learnt(transaction: Transaction, policy: Policy, reported: Reported, told: Report) -> list[Change]:
    if reported.playbook is None or reported.comparison is Comparison.NOTED:
        return []
    pair = reported.playbook, reported.service
    word = Word(told.actor, _worded(reported.did), reported.incident)
    if reported.comparison is Comparison.OVERRIDDEN:
        return await override(transaction, policy, pair, word)
    agreed = reported.comparison is Comparison.AGREED
    return await compare(transaction, policy, pair, word, agreed=agreed)


def _worded(did: str) -> str:
    words = {OTHER: "people did something else", NOTHING: "people did nothing"}
    return words.get(did, f"people ran {did}")


def _change(name: str, reported: Reported, told: Report) -> Change:
    """The comment goes into history alone, from where a person's words can be erased."""
    return Change(
        unit=name,
        kind="report",
        incident=reported.incident,
        status=reported.comparison.value,
        attributes=to_data(reported),
        event="HumanActionReported",
        actor=told.actor,
        reason=told.comment or _worded(told.did),
        details={"service": reported.service, "did": reported.did, "playbook": reported.playbook},
        version=0,
    )
