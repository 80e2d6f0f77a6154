"""Tries a plan, once for its digest, before the gate lets it through or people are asked about it."""

from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Rehearsal
from penelope.domain.trial import PlanPreview, Trial
from penelope.domain.work import Change
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.flow.ports import Transaction
from penelope.flow.previewing import of_preview, preview_unit, previewed
from penelope.flow.rehearsing import of_rehearsal, rehearsal_unit, rehearsed
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data


class NotTried(Exception):
    """A plan must be tried before the gate can judge it: nothing of its assessment is recorded, and it is made again.

    `preview` is what is known already.
    """

    def __init__(self, plan: Plan, preview: PlanPreview | None) -> None:
        super().__init__(f"{plan.playbook} has not been tried")
        self.plan = plan
        self.preview = preview


async def trial_of(transaction: Transaction, parts: Parts, plan: Plan) -> Trial:
    """What was recorded when this very plan was tried. Raises NotTried where anything of that is missing."""
    unit = await transaction.unit(preview_unit(plan))
    preview = None if unit is None else from_data(PlanPreview, unit.attributes)
    if preview is None:
        raise NotTried(plan, None)
    if preview.refusal:
        return Trial(preview=preview)
    held = await transaction.unit(rehearsal_unit(plan))
    if held is not None:
        return Trial(preview=preview, rehearsal=from_data(Rehearsal, held.attributes))
    if parts.twin is not None:
        raise NotTried(plan, preview)
    return Trial(preview=preview)


async def try_out(engine: Engine, parts: Parts, lacking: NotTried) -> None:
    """Tries what has not been tried, and records each result by itself.

    Called inside a step: after a crash what was not recorded is tried again, which touches nothing real.
    """
    plan, preview = lacking.plan, lacking.preview
    if preview is None:
        preview = await previewed(parts, plan)
        await _record(engine, of_preview(preview, plan, plan.incident))
    # What cannot work need not be rehearsed.
    if parts.twin is not None and not preview.refusal:
        held = await rehearsed(parts.twin, parts, plan)
        await _record(engine, of_rehearsal(held, plan, plan.incident))


async def _record(engine: Engine, change: Change) -> None:
    async def body(transaction: Transaction) -> Json:
        await transaction.save(change)

    await engine.transaction(change.kind, body)
