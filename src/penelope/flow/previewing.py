"""Asks the adapters what a plan would change, and records what they said."""

import time
from dataclasses import replace

from penelope.domain.action import Action
from penelope.domain.plan import Plan
from penelope.domain.trial import ActionPreview, PlanPreview
from penelope.domain.work import Change
from penelope.errors import InputError
from penelope.flow import records
from penelope.flow.parts import Parts
from penelope.kit.codec import to_data
from penelope.kit.harmless import harmless
from penelope.rooms.act.preview import LONGEST_WORDS, preview
from penelope.rooms.plan.foresight import foreseeable

_MOST_ACTIONS = 50
_EACH_SECONDS = 10.0
_ALL_SECONDS = 30.0
_MOST_DIFF = 20_000
"""Characters of all diffs of a plan together: a request for approval is stored anew with each word about it."""


def preview_unit(plan: Plan) -> str:
    """The unit of work that holds what the actions of this very plan would change."""
    return f"{plan.id}:preview:{plan.digest}"


async def previewed(parts: Parts, plan: Plan) -> PlanPreview:
    """What each action would change, one after the other; what takes actions back is left out, for there is nothing
    yet to be taken back. Touches nothing, holds no lease, and comes to its end whatever adapters do.
    """
    taken_at, begun = parts.clock.now(), time.monotonic()
    certain = foreseeable(plan)
    found: list[ActionPreview] = []
    for action in plan.actions:
        left = _ALL_SECONDS - (time.monotonic() - begun)
        if len(found) >= _MOST_ACTIONS:
            found.append(_missing(action, f"a plan's first {_MOST_ACTIONS} actions are"))
        elif left <= 0:
            found.append(_missing(action, f"the others took more than {_ALL_SECONDS:g} s"))
        else:
            seconds = min(left, _EACH_SECONDS, action.timeout_seconds)
            found.append(await _previewed(parts, action, seconds, certain=action.key in certain))
    seconds = round(time.monotonic() - begun, 3)
    return PlanPreview(actions=_within(found), taken_at=taken_at, seconds=seconds)


async def _previewed(parts: Parts, action: Action, seconds: float, *, certain: bool) -> ActionPreview:
    try:
        located = parts.located(action)
        adapter = parts.adapter(located)
    except InputError as error:
        return replace(_missing(action, error.message), refused=True)
    return await preview(adapter, located, seconds=seconds, foreseeable=certain)


def _missing(action: Action, why: str) -> ActionPreview:
    return ActionPreview(key=action.key, name=action.name, missing=harmless(why, LONGEST_WORDS))


def _within(found: list[ActionPreview]) -> tuple[ActionPreview, ...]:
    """The previews, the later diffs cut where all together would be too much."""
    left, cut = _MOST_DIFF, []
    for item in found:
        cut.append(replace(item, diff=harmless(item.diff, left, lines=True) if left else ""))
        left = max(0, left - len(cut[-1].diff))
    return tuple(cut)


def of_preview(found: PlanPreview, plan: Plan, incident: str) -> Change:
    """A preview as it is recorded."""
    missing = len(found.missing)
    outcome = "complete" if not missing else ("none" if missing == len(found.actions) else "partial")
    if found.refusal:
        outcome = "refused"
    shown = len(found.actions) - missing
    return Change(
        unit=preview_unit(plan),
        kind="preview",
        incident=incident,
        status=outcome,
        attributes={**to_data(found), "plan": plan.id, "digest": plan.digest},
        event="PreviewFailed" if found.refusal else "PlanPreviewed",
        actor=records.PENELOPE,
        reason=found.refusal or f"{shown} of {len(found.actions)} actions of {plan.playbook} previewed",
        details={
            "playbook": plan.playbook,
            "outcome": outcome,
            "seconds": found.seconds,
            "actions": [
                {"name": item.name, "summary": item.summary, "missing": item.missing}
                for item in found.actions
            ],
        },
    )
