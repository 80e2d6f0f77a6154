"""How often the resolver is right, and how well it knows that: on questions that were written before its code.

`--fit` fits the weights of rooms/context/confidence.py on one half and prints them; figures are always those of both halves.
`--wrong` lists what went wrong in the half that weights are fitted on; the other half stays unread.
"""

import random
import sys
import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import Any

import numpy as np
from _questions import (
    SUBJECT,
    Questions,
    example,
    is_held_apart,
    period_is_right,
    question_is_right,
    questions,
    registry,
)

from penelope.domain.concept import (
    Ambiguous,
    Answer,
    Definition,
    DefinitionKind,
    Request,
    Resolution,
    Unresolved,
)
from penelope.rooms.context.confidence import GIVEN, WEIGHTS, confidence_of
from penelope.rooms.context.rank import lead, rank
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.resolve import understood
from penelope.rooms.context.words import BadConcept

BINS = 10
PENALTY = 0.05
TAKEN_AWAY = 0.25
"""What a question counts for the fit whose definition was taken away, beside one that was really asked."""


def is_right(item: Mapping[str, Any], answer: Answer) -> bool:
    if "none" in item:
        return isinstance(answer, Unresolved)
    if "choices" in item:
        return isinstance(answer, Ambiguous) and {c.definition.name for c in answer.choices} == set(
            item["choices"]
        )
    return isinstance(answer, Resolution) and answer.definition.name == item["is"]


Pair = tuple[dict[str, float], bool]
"""The features of the definition that comes first, and whether it is right."""


def first_of(item: Mapping[str, Any], asked: Questions, known: Registry) -> Pair | None:
    """None where nothing comes first, and where several definitions are right."""
    if "choices" in item:
        return None
    request = Request(concept=item["q"], subject=SUBJECT, at=asked.now)
    try:
        reading = understood(request, known, asked.rules)
    except BadConcept:
        return None
    ranked = rank(reading, known)
    if not ranked:
        return None
    return {**ranked[0].scores, "lead": lead(ranked)}, ranked[0].definition.name == item.get("is")


def without(items: list[Mapping[str, Any]], asked: Questions, known: Registry) -> list[Pair]:
    """The same questions as if nobody had defined what they ask for, so that whatever comes first is wrong."""
    found = (first_of(item, asked, known.without({item["is"]})) for item in items if "is" in item)
    return [pair for pair in found if pair is not None]


def fitted(pairs: list[Pair], taken_away: list[Pair]) -> np.ndarray:
    """Logistic regression by projected gradients: each feature counts in the direction that its meaning demands, or not."""
    rows = [*pairs, *taken_away]
    x = np.array([[1.0, *(scores[name] for name in WEIGHTS)] for scores, _ in rows])
    y = np.array([float(right) for _, right in rows])
    counts = np.array([1.0] * len(pairs) + [TAKEN_AWAY] * len(taken_away))
    sign = np.array([0.0, *(-1.0 if name == "strange" else 1.0 for name in WEIGHTS)])
    free = np.array([1.0, *(float(name not in GIVEN) for name in WEIGHTS)])
    weights = np.array([0.0, *(GIVEN.get(name, 0.0) for name in WEIGHTS)])
    rate = 4.0 / float(((x**2).sum(axis=1) * counts).sum())
    for _ in range(200_000):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (counts * (y - p)) - PENALTY * np.where(sign == 0, 0, weights)
        weights += rate * slope * free
        weights = np.where((sign != 0) & (weights * sign < 0), 0.0, weights)
    return weights


def calibration_error(pairs: list[tuple[float, bool]]) -> float:
    """Expected calibration error over ten bins of equal width (Naeini et al., AAAI 2015)."""
    error = 0.0
    for number in range(BINS):
        inside = [
            (p, right)
            for p, right in pairs
            if number / BINS <= p < (number + 1) / BINS or (p == 1 and number == BINS - 1)
        ]
        if inside:
            gap = sum(p for p, _ in inside) - sum(right for _, right in inside)
            error += abs(gap) / len(pairs)
    return error


def share(name: str, rights: list[bool], goal: float | None = None) -> bool:
    value = sum(rights) / len(rights) if rights else 1.0
    print(f"  {name}: {sum(rights)} of {len(rights)} ({value:.1%})" + (f", goal {goal:.0%}" if goal else ""))
    return goal is None or value >= goal


def report(name: str, items: list[Mapping[str, Any]], asked: Questions, known: Registry) -> bool:
    print(f"{name}: {len(items)} questions")
    answers = [(item, asked.ask(item["q"], known)) for item in items]
    known_ones = [(item, answer) for item, answer in answers if "is" in item]
    found = [
        (item, answer)
        for item, answer in known_ones
        if isinstance(answer, Resolution) and is_right(item, answer)
    ]
    kept = share("exact definition", [is_right(*pair) for pair in known_ones], 0.9)
    share(
        "exact period, where the definition is right",
        [period_is_right(*pair, asked.rules.zone) for pair in found],
    )
    share("filters, groupings, order, relation, there", [question_is_right(*pair) for pair in found])
    kept &= share("no answer recognised", [is_right(*pair) for pair in answers if "none" in pair[0]], 0.9)
    share("ambiguity recognised", [is_right(*pair) for pair in answers if "choices" in pair[0]])
    share(
        "answers given that are wrong",
        [not is_right(*pair) for pair in answers if isinstance(pair[1], Resolution)],
    )
    share(
        "no sure answer once the right definition is taken away",
        [confidence_of({**scores, "lead": 1.0}).value < 0.5 for scores, _ in without(items, asked, known)],
    )
    pairs = [
        (confidence_of(first[0]).value, first[1])
        for item in items
        if (first := first_of(item, asked, known)) is not None
    ]
    error = calibration_error(pairs)
    print(f"  expected calibration error: {error:.3f} over {len(pairs)} first candidates, goal 0.05")
    return kept and error <= 0.05


def wrong(items: list[Mapping[str, Any]], asked: Questions, known: Registry) -> None:
    for item in items:
        answer = asked.ask(item["q"], known)
        right = is_right(item, answer)
        if right and isinstance(answer, Resolution):
            right = period_is_right(item, answer, asked.rules.zone) and question_is_right(item, answer)
        if not right:
            print(f"- {item}\n    {shown(answer)}")


def shown(answer: Answer) -> str:
    if isinstance(answer, Resolution):
        return f"{answer.definition.name} {answer.confidence.value:.2f} {answer.question} {answer.parsed.period} {answer.unmet}"
    if isinstance(answer, Ambiguous):
        return f"choices {[(c.definition.name, round(c.score, 3)) for c in answer.choices]}"
    near = [(c.definition.name, round(c.score, 3), dict(c.scores)) for c in answer.nearest[:2]]
    return f"none: {answer.why} {near}"


def speed(asked: Questions, size: int = 10_000) -> None:
    """A question's time in a registry of many definitions, whose names share the words of the shop's."""
    chance = random.Random(7)
    base = registry()
    words = sorted({word for name in base.definitions for word in base.words(name)})
    made = {}
    while len(made) < size:
        title = " ".join([*chance.sample(words, 2), f"part{chance.randrange(size // 4)}"])
        name = f"cube{len(made) % 200}.m{len(made)}"
        made[name] = Definition(
            name=name, kind=DefinitionKind.METRIC, title=title, synonyms=(f"{title} alias",)
        )
    began = time.perf_counter()
    large = Registry([*base.definitions.values(), *made.values()], times=base.times)
    built = time.perf_counter() - began
    times = []
    for _ in range(3):
        for item in asked.items:
            began = time.perf_counter()
            asked.ask(item["q"], large)
            times.append((time.perf_counter() - began) * 1e3)
    cuts = quantiles(times, n=100)
    print(
        f"{len(large.definitions):,} definitions: built in {built:.2f} s; a question takes "
        f"p50 {median(times):.2f} ms, p95 {cuts[94]:.2f} ms, p99 {cuts[98]:.2f} ms (goal p50 2 ms)"
    )


def main() -> int:
    asked, known = questions(), registry()
    halves = {
        "fitted on": [item for item in asked.items if not is_held_apart(item["q"])],
        "held apart": [item for item in asked.items if is_held_apart(item["q"])],
    }
    if "--fit" in sys.argv:
        pairs = [pair for item in halves["fitted on"] if (pair := first_of(item, asked, known))]
        taken_away = without(halves["fitted on"], asked, known)
        weights = fitted(pairs, taken_away)
        print(f"{len(pairs)} pairs and {len(taken_away)} taken away; bias {weights[0]:.3f}")
        for name, weight in zip(WEIGHTS, weights[1:], strict=True):
            print(f'    "{name}": {weight:.3f},')
    if "--wrong" in sys.argv:
        wrong(halves["fitted on"], asked, known)
    kept = [report(name, items, asked, known) for name, items in halves.items()]
    later = questions("example.yaml")
    kept.append(report("the example that ships", list(later.items), later, example()))
    speed(asked)
    return 0 if kept[1] else 1


if __name__ == "__main__":
    sys.exit(main())
