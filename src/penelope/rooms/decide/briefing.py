"""Prepares what a person needs who has to take an incident over."""

from collections.abc import Iterator

from penelope.domain.briefing import Briefing
from penelope.domain.decision import Healing, Score
from penelope.domain.evidence import Evidence
from penelope.domain.surroundings import CONTEXT, RUNBOOKS, in_words, is_context, reach_unknown
from penelope.kit.canonical import Json, canonical
from penelope.rooms.decide.facts import Facts
from penelope.rooms.decide.objectives import figure, held

_MOST_LINES, _LONGEST = 12, 160


def brief(facts: Facts, dangers: Score, hope: Healing | None) -> Briefing:
    """All in one look; it is kept with the decision, whoever ends up with the incident."""
    plan = facts.candidate
    return Briefing(
        known=_short(_known(facts)),
        ruled_out=_short(_ruled_out(facts, hope)),
        candidate="" if plan is None else plan.playbook,
        steps=() if plan is None else _short(iter(plan.steps)),
        dangers=tuple(f"{item.name} {item.value:+.2f}: {item.reason}" for item in dangers.contributions),
        precedents=_short(_precedents(facts)),
        next_steps=_short(_next_steps(facts)),
    )


def _short(lines: Iterator[str]) -> tuple[str, ...]:
    kept = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in lines]
    if len(kept) <= _MOST_LINES:
        return tuple(kept)
    return (*kept[: _MOST_LINES - 1], f"and {len(kept) - _MOST_LINES + 1} more, in the evidence")


def _known(facts: Facts) -> Iterator[str]:
    """What suffers first, then what changed lately, then the other figures."""
    yield f"{facts.severity} signal {facts.name} about {facts.service} (tier {facts.tier}), {_dependents(facts)}"
    for objective in held(facts.evidence):
        met = "is met" if objective.met else "is not met"
        yield f"objective {objective.name} {met}: {objective.burn:.3g} times what is allowed"
    for item in facts.evidence:
        if item.known and is_context(item) and item.concept != RUNBOOKS:
            yield f"{item.concept.removeprefix(CONTEXT)}: {in_words(item)}"
    for prefix in ("change.", "metric."):
        for item in facts.evidence:
            # Figures of single instances would drown the rest.
            if item.known and item.concept.startswith(prefix) and "@" not in item.concept:
                yield f"{item.concept} is {_said(item.value)}"


def _said(value: Json) -> str:
    """The same words for a value that was recorded and read back: 1.0 is 1 then, and names are in order."""
    number = figure(value)
    if number is not None:
        return f"{number:.6g}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "beyond all figures"
    return value if isinstance(value, str) else canonical(value).decode()


def _dependents(facts: Facts) -> str:
    if reach_unknown(facts.evidence):
        return f"at least {facts.dependents} services lean on it"
    if facts.dependents == 1:
        return "1 service leans on it"
    return f"{facts.dependents or 'no'} services lean on it"


def _ruled_out(facts: Facts, hope: Healing | None) -> Iterator[str]:
    if hope is None:
        yield "that it heals by itself: nothing is known of how such incidents last"
    else:
        low, high = hope.interval
        yield (
            f"that it heals by itself within {hope.within_seconds:.0f} s: {hope.probability:.0%} "
            f"({low:.0%} to {high:.0%}) of {hope.cases} cases, of {hope.source}"
        )
    for obstacle in facts.obstacles:
        yield f"a plan: {obstacle}"
    for item in _unseen(facts):
        yield f"{item.concept} could not be seen: {item.note or 'no reason given'}"


def _unseen(facts: Facts) -> list[Evidence]:
    return [item for item in facts.evidence if not item.known]


def _precedents(facts: Facts) -> Iterator[str]:
    for item in facts.precedents:
        uses = item.successes + item.failures
        yield f"{item.playbook} on {item.service}: verified {item.successes} of {uses} times"
    for near in facts.similar:
        came = {True: "the playbook helped", False: "the playbook did not help", None: "it was not used"}
        yield f"{near.incident} is alike ({near.similarity:.0%}): {came[near.verified]}"


def _next_steps(facts: Facts) -> Iterator[str]:
    plan = facts.candidate
    if plan is not None:
        yield f"read the plan of {plan.playbook}: approve it, reject it, or do by hand what it says"
    for item in facts.evidence:
        if item.concept == RUNBOOKS and item.known and item.value:
            yield f"read {in_words(item)}"
    if _unseen(facts):
        yield "look by hand at what could not be seen"
    if any(item.known and item.concept.startswith("change.") for item in facts.evidence):
        yield "compare the beginning of the incident with the latest changes"
    if facts.owner:
        yield f"call {facts.owner}, who looks after {facts.service}"
    if plan is None and not facts.fits:
        yield f"write a playbook for {facts.name}: none fits"
