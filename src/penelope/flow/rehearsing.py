"""Tries a plan on a twin, once, and records how that went."""

from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome
from penelope.domain.work import Change
from penelope.errors import PenelopeError
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.rooms.plan.ports import Twin


async def rehearse(engine: Engine, parts: Parts, plan: Plan, incident: str) -> str:
    """Why the plan must not be carried out, by its rehearsal; nothing where it may.

    Called where a twin was there when the plan was made; one that is gone since then rehearses nothing.
    After a crash a rehearsal whose end was not recorded is held again: it touches nothing real.
    """
    held = from_data(Rehearsal, await engine.step("rehearse", lambda: _rehearse(parts.twin, parts, plan)))
    # What may be refused is decided by what is recorded, so that a restart with other settings decides no other way.
    failed = held.outcome is RehearsalOutcome.FAILED
    change = of_rehearsal(held, plan, incident)

    async def record(transaction: Transaction) -> Json:
        await transaction.save(change)

    await engine.transaction("rehearsal", record)
    return f"the rehearsal of {plan.playbook} failed: {held.reason}" if failed else ""


async def _rehearse(twin: Twin | None, parts: Parts, plan: Plan) -> Json:
    if twin is None:
        return to_data(Rehearsal(outcome=RehearsalOutcome.NOT_POSSIBLE, reason="there is no twin any more"))
    try:
        return to_data(await twin.rehearse(plan, parts.service(plan.service)))
    except PenelopeError as error:
        return to_data(Rehearsal(outcome=RehearsalOutcome.NOT_POSSIBLE, reason=error.message))
    except Exception as error:  # noqa: BLE001 - nobody knows what broke the twin: the plan itself may have
        reason = f"the twin broke: {type(error).__name__}: {error}"
        return to_data(Rehearsal(outcome=RehearsalOutcome.FAILED, reason=reason))


def of_rehearsal(held: Rehearsal, plan: Plan, incident: str) -> Change:
    """A rehearsal as it is recorded."""
    failed = held.outcome is RehearsalOutcome.FAILED
    return Change(
        unit=f"{plan.id}:rehearsal",
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
