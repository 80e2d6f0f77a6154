"""Says in words when each action of a plan happens, and what came of trying it, for who is asked to agree to it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from penelope.domain.action import Action
from penelope.domain.approval import BriefStep
from penelope.domain.contract import Contract
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.domain.rehearsal import Check
from penelope.domain.trial import ActionPreview, Trial
from penelope.kit.canonical import canonical

_LONGEST = 400
"""Characters of an action's parameters that are shown; the plan itself has all of them."""

_MOST_CHECKS = 20
_LATER = "there is nothing yet to be taken back"


def steps_of(plan: Plan, trial: Trial | None = None) -> tuple[BriefStep, ...]:
    """All that a plan may come to, in the order in which it is written, each action followed by what takes it back."""
    previews = {} if trial is None else {item.key: item for item in trial.preview.actions}
    when = dict(_when((*plan.course, *plan.after_course), ()))
    found: list[BriefStep] = []
    for action in plan.actions:
        stays = ("stays when the rest is taken back",) if action.keep else ()
        found.append(_seen(_step(action, (*when.get(action.key, ()), *stays)), previews.get(action.key)))
        if action.rollback is not None:
            back = _step(action.rollback, (f"only to take back {action.name}",))
            found.append(replace(back, not_previewed=_LATER))
    return tuple(found)


def on_the_twin(trial: Trial | None) -> tuple[str, tuple[str, ...]]:
    """How a plan went on the twin, and each thing that was tried there, what went wrong first."""
    held = None if trial is None else trial.rehearsal
    if held is None:
        return "not rehearsed: no twin is set up", ()
    checks = sorted(held.checks, key=lambda check: check.held)
    more = (f"and {len(checks) - _MOST_CHECKS} more",) if len(checks) > _MOST_CHECKS else ()
    outcome = held.outcome.value.replace("_", " ")
    sentence = f"{outcome} in {held.seconds:.1f} s: {held.reason}"
    return sentence, (*map(_checked, checks[:_MOST_CHECKS]), *more)


def _checked(check: Check) -> str:
    return f"{check.name}: {check.before} → {check.after}" + ("" if check.held else " (NOT as before)")


def _seen(step: BriefStep, found: ActionPreview | None) -> BriefStep:
    if found is None:
        return replace(step, not_previewed="nobody has tried it")
    return replace(step, preview=found.summary, preview_diff=found.diff, not_previewed=found.missing)


def _step(action: Action, when: Sequence[str]) -> BriefStep:
    params = {name: value for name, value in action.params.items() if name != "diff"}
    text = canonical(params).decode() if params else ""
    return BriefStep(
        name=action.name,
        adapter=action.adapter,
        operation=action.operation,
        target=action.target.name,
        tier=int(action.tier),
        diff=str(action.params.get("diff", "")),
        params=text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…",
        when=", ".join(when),
    )


def _when(nodes: Sequence[Node], above: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The keys of actions, each with the circumstances in which it happens, the outermost first."""
    for node in nodes:
        match node.kind:
            case NodeKind.ACTION:
                yield node.key, above
            case NodeKind.SEQUENCE:
                yield from _when(node.children, above)
            case NodeKind.PARALLEL:
                yield from _when(node.children, (*above, f"beside others of '{node.name}'"))
            case NodeKind.CONDITION:
                yield from _when(node.children, (*above, f"if {_words(node.condition)}"))
                yield from _when(node.otherwise, (*above, f"unless {_words(node.condition)}"))
            case NodeKind.WAIT:
                above = (*above, f"once {_words(node.condition)}")


def _words(contract: Contract | None) -> str:
    """The clauses of a condition."""
    clauses = () if contract is None else contract.clauses
    return " and ".join(
        f"{item.subject} {item.comparator.value.replace('_', ' ')} {canonical(item.expected).decode()}"
        for item in clauses
    )
