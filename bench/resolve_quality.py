"""How often the resolver is right, and how well it knows that: on questions that were written before its code.

`--validate` tries the fit's own two figures by cross-validation on that half. `--fit` fits the weights of rooms/context/confidence.py on one half and prints them; figures are always those of both halves.
`--wrong` lists what went wrong in the half that weights are fitted on; the other half stays unread.
"""

import random
import sys
import time
from collections.abc import Mapping
from itertools import product
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
from scipy.optimize import minimize

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
FOLDS = 5
RESAMPLES = 2_000
PENALTY = 0.01
TAKEN_AWAY = 0.1
"""What a question counts for the fit whose definition was taken away, beside one that was really asked. Both were chosen by
`--validate`: of those that refuse as much as the choice before them, the least loss."""


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


def fitted(pairs: list[Pair], taken_away: list[Pair]) -> Any:
    """Logistic regression in bounds: each feature counts in the direction that its meaning demands, or not at all."""
    rows = [*pairs, *taken_away]
    x = np.array([[1.0, *(scores[name] for name in WEIGHTS)] for scores, _ in rows])
    y = np.array([float(right) for _, right in rows])
    counts = np.array([1.0] * len(pairs) + [TAKEN_AWAY] * len(taken_away))
    shrunk = np.array([0.0, *(PENALTY for _ in WEIGHTS)])

    def loss(weights: Any) -> tuple[float, Any]:
        z = x @ weights
        slope = x.T @ (counts * (1 / (1 + np.exp(-np.clip(z, -30, 30))) - y)) + shrunk * weights
        return float((counts * (np.logaddexp(0, z) - y * z)).sum() + (shrunk * weights**2).sum() / 2), slope

    fixed = {name: (value, value) for name, value in GIVEN.items()}
    bounds = [fixed.get(name, (None, 0) if name == "strange" else (0, None)) for name in WEIGHTS]
    start = np.array([0.0, *(GIVEN.get(name, 0.0) for name in WEIGHTS)])
    found = minimize(
        loss, start, jac=True, bounds=[(None, None), *bounds], method="L-BFGS-B", options={"maxiter": 10_000}
    )
    return found.x


def validated(items: list[Mapping[str, Any]], asked: Questions, known: Registry) -> None:
    """Cross-validation on the half that weights are fitted on: what PENALTY and TAKEN_AWAY were chosen by."""
    global PENALTY, TAKEN_AWAY
    parts = [items[number::FOLDS] for number in range(FOLDS)]
    paired = [[pair for item in part if (pair := first_of(item, asked, known))] for part in parts]
    gone = [without(part, asked, known) for part in parts]
    for PENALTY, TAKEN_AWAY in product((0.005, 0.01, 0.02, 0.05, 0.1), (0.05, 0.1, 0.25)):
        told: list[tuple[float, bool]] = []
        refused = []
        for number in range(FOLDS):
            others = [other for other in range(FOLDS) if other != number]
            weights = fitted(
                [pair for other in others for pair in paired[other]],
                [pair for other in others for pair in gone[other]],
            )
            told += [(_sure(weights, scores), right) for scores, right in paired[number]]
            refused += [_sure(weights, {**scores, "lead": 1.0}) < 0.5 for scores, _ in gone[number]]
        loss = -float(np.mean([np.log(max(1e-6, p if right else 1 - p)) for p, right in told]))
        print(
            f"penalty {PENALTY}, taken away {TAKEN_AWAY}: log loss {loss:.4f}, calibration {calibration_error(told):.3f}, "
            f"taken away and refused {sum(refused)} of {len(refused)}"
        )


def _sure(weights: Any, scores: Mapping[str, float]) -> float:
    return float(1 / (1 + np.exp(-np.array([1.0, *(scores[name] for name in WEIGHTS)]) @ weights)))


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


def resampled(pairs: list[tuple[float, bool]]) -> tuple[float, float]:
    """What 95 % of bootstrap resamples lie between."""
    chance = random.Random(1)
    found = sorted(calibration_error(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return found[RESAMPLES // 40], found[-RESAMPLES // 40]


def wilson(right: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, right / number
    middle = p + z * z / (2 * number)
    half = z * ((p * (1 - p) + z * z / (4 * number)) / number) ** 0.5
    return (middle - half) / (1 + z * z / number), (middle + half) / (1 + z * z / number)


def share(name: str, rights: list[bool], goal: float | None = None) -> bool:
    value = sum(rights) / len(rights) if rights else 1.0
    low, high = wilson(sum(rights), len(rights)) if rights else (0.0, 1.0)
    between = f"{value:.1%}, 95 % interval {low:.0%} to {high:.0%}"
    print(f"  {name}: {sum(rights)} of {len(rights)} ({between})" + (f", goal {goal:.0%}" if goal else ""))
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
    low, high = resampled(pairs)
    print(
        f"  expected calibration error: {error:.3f} over {len(pairs)} first candidates, goal 0.05; "
        f"95 % of resamples {low:.3f} to {high:.3f}"
    )
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
    if "--validate" in sys.argv:
        validated(halves["fitted on"], asked, known)
        return 0
    if "--wrong" in sys.argv:
        wrong(halves["fitted on"], asked, known)
    kept = [report(name, items, asked, known) for name, items in halves.items()]
    later, last = questions("example.yaml"), questions("example_later.yaml")
    kept.append(report("the example that ships", list(later.items), later, example()))
    for name, unread in (
        ("the same asked later, read while mending", False),
        ("asked later, never read", True),
    ):
        items = [item for item in last.items if is_held_apart(item["q"]) is unread]
        kept.append(report(name, items, last, example()))
    kept.append(report("asked later, both", list(last.items), last, example()))
    speed(asked)
    return 0 if kept[1] and kept[-1] else 1


if __name__ == "__main__":
    sys.exit(main())
