"""What one tick of 200 canaries costs: a look at each, in processor time of one thread.

Once with the judge alone, its state in plain values, and once as the flow looks: counters, memory and deployment come as
JSON values, and go as JSON values. `python bench/rollout_tick.py [ticks]`.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from penelope.domain.analysis import AnalysisSpec, ArmCounts, Noise, Scrape, Tempering
from penelope.domain.counts import Series, Totals, bound
from penelope.domain.deployment import Course, Deployment
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.assess import assess, begin
from penelope.rooms.rollout.look import Kept, Seen, judge_look

EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SLOW = (0.5, 0.12, 0.004, 0.0, 0.0, 0.0)
CANARIES, TICKS, GOAL_MS = 200, 30, 50.0
LOOK_SECONDS = 5.0
REQUESTS = {"canary": 50, "control": 450}
START = datetime(2026, 11, 22, tzinfo=UTC)
NOISY = Tempering(errors=Noise(factor=3.0, information=0.2), latency=Noise(factor=2.0, information=25.0))


def main(ticks: int = TICKS) -> None:
    print(f"\n{CANARIES} canaries at once, processor time a tick, {ticks} ticks")
    for name, spec in (("", AnalysisSpec()), (", noise learned", replace(AnalysisSpec(), tempering=NOISY))):
        for what, tick in (
            ("judge alone", judged(spec)),
            ("as the flow looks, from JSON to JSON", looked(spec)),
        ):
            told = sorted(tick(number) for number in range(1, ticks + 1))
            half, most = told[len(told) // 2], told[-1]
            kept = "kept" if half < GOAL_MS else "MISSED"
            print(f"  {what + name:60} median {half:5.1f} ms, worst {most:5.1f}  {kept}", flush=True)


def judged(spec: AnalysisSpec) -> Callable[[int], float]:
    """A tick of the judge: milliseconds of processor time."""
    rng = np.random.default_rng(7)
    states = [begin(f"r{each}", 10, START) for each in range(CANARIES)]

    def tick(number: int) -> float:
        now = START + timedelta(seconds=LOOK_SECONDS * number)
        scrapes = [
            Scrape(seconds=LOOK_SECONDS, **{arm: counts(rng, size) for arm, size in REQUESTS.items()})
            for _ in states
        ]
        begun = time.process_time()
        for index, each in enumerate(scrapes):
            states[index], _ = assess(spec, states[index], each, now)
        return (time.process_time() - begun) * 1000

    return tick


def looked(spec: AnalysisSpec) -> Callable[[int], float]:
    """A tick of looks as `flow.deploying` makes them, but for the database."""
    rng = np.random.default_rng(7)
    kept = [to_data(Kept(deployment=deployment(f"d{each}", spec))) for each in range(CANARIES)]
    totals = [{arm: counts(rng, size) for arm, size in REQUESTS.items()} for _ in kept]

    def tick(number: int) -> float:
        now = START + timedelta(seconds=LOOK_SECONDS * number)
        seen = []
        for each in totals:
            for arm, size in REQUESTS.items():
                each[arm] = together(each[arm], counts(rng, size))
            arms = {arm: {"one": series(said)} for arm, said in each.items()}
            seen.append(to_data(Seen(totals=Totals(at=now, arms=arms))))
        begun = time.process_time()
        for index, each in enumerate(seen):
            kept[index] = to_data(judge_look(from_data(Kept, kept[index]), from_data(Seen, each), now))
        return (time.process_time() - begun) * 1000

    return tick


def deployment(name: str, spec: AnalysisSpec) -> Deployment:
    return Deployment(
        id=name,
        service=name,
        course=Course(canary="canary", control="control", analysis=spec, auto_promote=False),
        created_by="bench",
        created_at=START,
        revision="r",
        weight=10,
        wanted=10,
        since=START,
    )


def counts(rng: np.random.Generator, requests: int) -> ArmCounts:
    above = np.sort(rng.binomial(requests, SLOW))[::-1]
    buckets = {edge: float(requests - slow) for edge, slow in zip(EDGES, above, strict=True)}
    errors = float(rng.binomial(requests, 0.02))
    return ArmCounts(requests=float(requests), errors=errors, buckets={**buckets, np.inf: float(requests)})


def together(one: ArmCounts, two: ArmCounts) -> ArmCounts:
    buckets = {edge: count + two.buckets[edge] for edge, count in one.buckets.items()}
    return ArmCounts(requests=one.requests + two.requests, errors=one.errors + two.errors, buckets=buckets)


def series(said: ArmCounts) -> Series:
    buckets = {bound(edge): count for edge, count in said.buckets.items()}
    return Series(requests=said.requests, errors=said.errors, buckets=buckets, began=START.timestamp() - 60.0)


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:2]))
