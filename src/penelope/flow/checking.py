"""Watches a contract until it passes or can no longer come true."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.action import Action
from penelope.domain.contract import Contract, Verdict
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be verified: a contract, of an action or (without one) of the whole plan, since a moment."""

    unit: str
    label: str
    incident: str
    contract: Contract
    service: Service
    since: datetime
    action: Action | None = None


async def verify(engine: Engine, parts: Parts, question: Question) -> Verdict:
    """The final verdict, recorded. Between two looks it waits durably."""
    holding_since: datetime | None = None
    while True:
        verdict = from_data(
            Verdict, await engine.step(f"look {question.label}", lambda: _look(parts, question))
        )
        now = verdict.judged_at
        state = progress(question.contract, question.since, holding_since, verdict, now)
        if not isinstance(state, Waiting):
            break
        holding_since = state.holding_since
        await engine.pause(parts.timing.verify_poll_seconds)
    ended = state.verdict

    async def record(transaction: Transaction) -> Json:
        await transaction.save(_of_verdict(question, ended))

    await engine.transaction(f"verdict {question.label}", record)
    return ended


async def _look(parts: Parts, question: Question) -> Json:
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
    )
    return to_data(verdict)


def _of_verdict(question: Question, verdict: Verdict) -> Change:
    drift = "; ".join(
        f"{item.clause.subject} is {'unknown' if item.actual is None else item.actual}"
        for item in verdict.drift
    )
    return Change(
        unit=question.unit,
        kind="verdict",
        incident=question.incident,
        status="passed" if verdict.passed else "drifted",
        attributes={**to_data(verdict), "of": question.label},
        event="VerdictReached",
        actor=records.PENELOPE,
        reason=drift or "the contract holds",
        details={
            "of": question.label,
            "passed": verdict.passed,
            "score": verdict.score,
            "waited_seconds": round(verdict.waited_seconds, 3),
        },
    )
