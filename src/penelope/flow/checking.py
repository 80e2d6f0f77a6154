"""Watches a contract until it passes or can no longer come true."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from penelope.domain.action import Action
from penelope.domain.contract import Clause, ClauseResult, Contract, Verdict
from penelope.domain.service import Service
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.verify.hold import Waiting, progress
from penelope.rooms.verify.run import look
from penelope.rooms.verify.watch import Watch

_PATIENCE = 2
"""Looks may come so many times later than they are to: what is beyond is time in which nobody looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be verified: a contract, of an action or (without one) of the whole plan, since a moment.

    `before` is what was observed before the change (`rooms.verify.run.observe`). `promised` says that the contract is
    in history already, by `of_contract`.
    """

    unit: str
    label: str
    incident: str
    contract: Contract
    service: Service
    since: datetime
    action: Action | None = None
    before: Mapping[str, Json] = field(default_factory=dict)
    promised: bool = False


Also = Callable[[Transaction], Awaitable[None]]
"""What is written together with a verdict."""


async def verify(engine: Engine, parts: Parts, question: Question, also: Also | None = None) -> Verdict:
    """The final verdict, recorded with the contract and what was seen, and with what `also` writes. Between two looks it
    waits durably.
    """
    waiting: Waiting | None = None
    looks = 0
    watch = Watch(question.since, _PATIENCE * parts.timing.verify_poll_seconds)
    while True:
        seen = await engine.step(f"look {question.label}", lambda: _look(parts, question))
        verdict = from_data(Verdict, seen["verdict"])
        looks += 1
        watched = watch.looked(verdict.judged_at, datetime.fromisoformat(seen["ended_at"]))
        state = progress(question.contract, question.since, waiting, verdict, watched)
        if not isinstance(state, Waiting):
            break
        waiting = state
        await engine.pause(parts.timing.verify_poll_seconds)
    ended = replace(state.verdict, unwatched_seconds=watch.unwatched_seconds)
    changes = [_of_actuals(question, ended, looks), _of_verdict(question, ended)]
    if not question.promised:
        changes.insert(0, of_contract(question))

    async def record(transaction: Transaction) -> Json:
        await transaction.save(*changes)
        if also is not None:
            await also(transaction)

    await engine.guarded(f"verdict {question.label}", record)
    return ended


async def _look(parts: Parts, question: Question) -> dict[str, Json]:
    action = None if question.action is None else parts.located(question.action)
    state = None if action is None else parts.adapter(action)
    verdict = await look(
        question.contract,
        question.service,
        action,
        parts.metrics,
        state,
        since=question.since,
        window_seconds=parts.timing.window_seconds,
        now=parts.clock.now(),
        before=question.before,
    )
    return {"verdict": to_data(verdict), "ended_at": parts.clock.now().isoformat()}


def of_contract(question: Question) -> Change:
    """What was promised, and what was there before it."""
    contract = question.contract
    return Change(
        unit=f"{question.unit}:contract",
        kind="contract",
        incident=question.incident,
        status="made",
        attributes={
            "of": question.label,
            "contract": to_data(contract),
            "before": {clause.subject: question.before.get(clause.subject) for clause in _relative(contract)},
        },
        event="ContractMade",
        actor=records.PENELOPE,
        reason=f"what {question.label} must come to",
        details={"of": question.label, "clauses": len(contract.clauses)},
    )


def _relative(contract: Contract) -> list[Clause]:
    return [clause for clause in contract.clauses if clause.comparator.relative]


def _of_actuals(question: Question, verdict: Verdict, looks: int) -> Change:
    seen = {result.clause.subject: result.actual for result in verdict.results}
    unseen = sorted(subject for subject, value in seen.items() if value is None)
    return Change(
        unit=f"{question.unit}:actuals",
        kind="actuals",
        incident=question.incident,
        status="incomplete" if unseen else "complete",
        attributes={"of": question.label, "looks": looks, "at": verdict.judged_at.isoformat(), "seen": seen},
        event="ActualsGathered",
        actor=records.PENELOPE,
        reason=f"not seen: {', '.join(unseen)}" if unseen else "all that the contract asks for was seen",
        details={"of": question.label, "looks": looks, "unseen": unseen},
    )


def _of_verdict(question: Question, verdict: Verdict) -> Change:
    drift = "; ".join(
        f"{item.clause.subject} is {'unknown' if item.actual is None else item.actual}"
        for item in verdict.drift
    )
    held = "the contract holds" + (f", but for: {drift}" if drift else "")
    return Change(
        unit=question.unit,
        kind="verdict",
        incident=question.incident,
        status="passed" if verdict.passed else "drifted",
        attributes={**to_data(verdict), "of": question.label},
        event="VerdictReached",
        actor=records.PENELOPE,
        reason=held if verdict.passed else drift,
        details={
            "of": question.label,
            "passed": verdict.passed,
            "score": verdict.score,
            "drift": [_drifted(item) for item in verdict.drift],
            "waited_seconds": round(verdict.waited_seconds, 3),
            "unwatched_seconds": round(verdict.unwatched_seconds, 3),
        },
    )


def _drifted(item: ClauseResult) -> Json:
    return {
        "subject": item.clause.subject,
        "state": item.state.value,
        "severity": item.clause.severity.value,
        "weight": item.clause.weight,
        "comparator": item.clause.comparator.value,
        "expected": item.clause.expected,
        "actual": item.actual,
    }
