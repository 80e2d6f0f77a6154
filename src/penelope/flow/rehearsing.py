"""Tries a plan on a twin, and records how that went."""

from dataclasses import replace

from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.work import Change
from penelope.errors import PenelopeError
from penelope.flow import records
from penelope.flow.parts import Parts
from penelope.kit.codec import to_data
from penelope.kit.harmless import harmless
from penelope.rooms.plan.ports import Twin

_LONGEST = 400
_MOST_CHECKS = 600
"""More than recorded requests, declared checks and actions come to."""


def rehearsal_unit(plan: Plan) -> str:
    """The unit of work that holds how this very plan went on the twin."""
    return f"{plan.id}:rehearsal:{plan.digest}"


async def rehearsed(twin: Twin, parts: Parts, plan: Plan) -> Rehearsal:
    """How the plan goes on the twin, in texts that are fit to be stored. It touches nothing real."""
    try:
        held = await twin.rehearse(plan, parts.service(plan.service))
    except PenelopeError as error:
        held = Rehearsal(outcome=RehearsalOutcome.NOT_POSSIBLE, reason=error.message)
    except Exception as error:  # noqa: BLE001 - nobody knows what broke the twin: the plan itself may have
        reason = f"the twin broke: {type(error).__name__}: {error}"
        held = Rehearsal(outcome=RehearsalOutcome.FAILED, reason=reason)
    return replace(
        held,
        reason=harmless(held.reason, _LONGEST),
        checks=tuple(map(_fit, held.checks[:_MOST_CHECKS])),
        limits=tuple(harmless(line, _LONGEST) for line in held.limits),
    )


def _fit(check: Check) -> Check:
    """What was tried may have put its own words into its results."""
    name, before, after = (harmless(text, _LONGEST) for text in (check.name, check.before, check.after))
    return replace(check, name=name, before=before, after=after)


def of_rehearsal(held: Rehearsal, plan: Plan, incident: str) -> Change:
    """A rehearsal as it is recorded."""
    failed = held.outcome is RehearsalOutcome.FAILED
    return Change(
        unit=rehearsal_unit(plan),
        kind="rehearsal",
        incident=incident,
        status=held.outcome.value,
        attributes={**to_data(held), "plan": plan.id, "digest": plan.digest},
        event="RehearsalFailed" if failed else "PlanRehearsed",
        actor=records.PENELOPE,
        reason=held.reason,
        details={
            "playbook": plan.playbook,
            "outcome": held.outcome.value,
            "seconds": round(held.seconds, 3),
            "checks": [{"name": check.name, "held": check.held} for check in held.checks],
            "limits": list(held.limits),
        },
    )
