"""How often canaries are rolled back wrongly, and how soon rightly: the tests that ship, on made-up traffic with known truth.

`python bench/rollout_simulation.py [--rollouts N] [--part NAME ...]`: 10,000 rollouts a row and all parts where nothing
is said. The ways that it is compared with are slow: they judge the first of the same canaries.
"""

import argparse
from dataclasses import replace

import numpy as np
import rollout_tick
from _canaries import EDGES, World, kayenta, ours, repeated_ranks, thresholds
from _steps import whole_rollouts

from penelope.rooms.rollout.evidence import Rules

ROLLOUTS = 10_000
CHUNK = 2_500
SEED = 20261122
FEW = 100
BETAS = (0.05, 0.04, 0.03, 0.02, 0.015, 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    asked = parser.parse_args()
    print(
        f"{asked.rollouts:,} rollouts a row, seed {SEED}; 'learned': with the noise of two halves of the stable version"
    )
    for name in asked.part:
        PARTS[name](asked.rollouts)


def false_rollbacks(number: int) -> None:
    print("\nFalse rollback in 4 h, a look each 5 s, 10 % canary, 2 % errors")
    row("independent, 100/s", rolled(World(), number, learned=False), 0.025)
    row("independent, 100/s, with latency", rolled(World(edges=EDGES), number, learned=False), 0.025)
    row("independent, 100/s, learned", rolled(World(), number, learned=True), 0.025)
    world = World(variation=0.6, autocorrelation=0.8, looks=720)
    row(
        "CV 0.6, autocorrelation 0.8, 100/s, 1 h, nothing learned",
        rolled(world, min(number, CHUNK), learned=False),
        None,
    )
    both = World(both_from_seconds=450, both_times=4.0, looks=360, edges=EDGES)
    row("shared incident: both arms x 4 from 450 s on, 30 min", rolled(both, number, learned=False), 0.02)


def under_noise(number: int) -> None:
    print("\nFalse rollback in 4 h of one step under noise by arm, a look each 5 s, 10 % canary, 2 % errors")
    for autocorrelation in (0.0, 0.8):
        for requests in (20, 100, 1000):
            world = World(requests=requests, variation=0.6, autocorrelation=autocorrelation)
            name = f"CV 0.6, autocorrelation {autocorrelation}, {requests}/s"
            row(f"{name}, learned", rolled(world, number, learned=True), 0.05)


def whole(number: int) -> None:
    print("\nGood canaries through 10, 25, 50 and 100 %, 1 % errors, CV of errors 0.6 and of latencies 0.15,")
    print(
        "noise of both learned: false rollback of the whole rollout (within 4 h; a step goes on until a verdict)"
    )
    for autocorrelation in (0.0, 0.8):
        for requests in (20, 100, 1000):
            world = World(
                requests=requests,
                errors=0.01,
                variation=0.6,
                latency_variation=0.15,
                autocorrelation=autocorrelation,
                edges=EDGES,
            )
            fates = [
                whole_rollouts(world, size, SEED + 10 * index) for index, size in enumerate(sizes(number))
            ]
            late, done = share(fates, "undecided"), np.concatenate([each.done for each in fates])
            half = np.quantile(done, 0.5, method="higher")
            name = f"autocorrelation {autocorrelation}, {requests}/s: a step above 15 min {late:.1%}, done p50 {half:g} s"
            row(name, share(fates, "condemned"), 0.05)


def for_bad_canaries(number: int) -> None:
    print("\nBad canaries, 10 % of the traffic")
    double = 0.04 / 1.02
    for learned in (False, True):
        say = ", learned" if learned else ""
        fates = chunks(World(canary_errors=double, edges=EDGES, looks=180), number, learned=learned)
        row(f"wrong promotion at odds x 2, 100/s{say}", share(fates, "cleared"), 0.05)
        for edges in ((), EDGES):
            what = f"{'errors and latency judged' if edges else 'errors alone'}{say}"
            small, large = (
                World(requests=each, canary_errors=0.04, edges=edges, looks=120) for each in (100, 1000)
            )
            found(f"2 -> 4 % errors, 100/s, {what}", small, number, 130, learned=learned)
            found(f"2 -> 4 % errors, 1,000/s, {what}", replace(large, looks=24), number, 15, learned=learned)
        late = World(requests=1000, canary_errors=0.04, onset_seconds=450, edges=EDGES, looks=130)
        found(f"2 -> 4 % from 450 s on, 1,000/s{say}", late, number, 35, learned=learned)
    slower = World(slower=2.0, edges=EDGES, looks=24)
    found("all answers twice as slow (p99 0.20 -> 0.40 s), 100/s", slower, number, 10, quantile=0.5)


def betas(number: int) -> None:
    print("\nWhat `beta` buys: errors and latency judged, 10 % of 100 requests a second, 2 % errors")
    for learned in (False, True):
        for beta in BETAS:
            rules = Rules(beta=beta)
            bad = World(canary_errors=0.04 / 1.02, edges=EDGES, looks=180)
            wrong = share(chunks(bad, number, learned=learned, rules=rules), "cleared")
            fates = chunks(World(edges=EDGES, looks=120), number, learned=learned, rules=rules)
            half, most = np.quantile(
                np.concatenate([each.cleared for each in fates]), [0.5, 0.9], method="higher"
            )
            say = ", learned" if learned else ""
            row(f"beta {beta:g}{say}: wrong promotion; certified p50 {half:g}, p90 {most:g} s", wrong, None)


def for_good_canaries(number: int) -> None:
    print("\nGood canaries, 2 % errors, 10 % of 100 requests a second: seconds until certified")
    for learned in (False, True):
        for edges in ((), EDGES):
            fates = chunks(World(edges=edges, looks=120), number, learned=learned)
            what = ("errors and latency" if edges else "errors alone") + (", learned" if learned else "")
            times = np.concatenate([fate.cleared for fate in fates])
            half, most = np.quantile(times, [0.5, 0.9], method="higher")
            row(f"{what}: p50 (p90 {most:g} s)", half, 60, form="{:g} s")


def compared(number: int) -> None:
    print(
        f"\nThe same {number} canaries, 100/s: rolled back though good (4 h) | 2 -> 4 % errors: rolled back within 15 min, let go on first"
    )
    ways = {
        "thresholds": thresholds,
        "Mann-Whitney at each look": repeated_ranks,
        "Kayenta mode, every 5 min": kayenta,
        "ours": lambda world, many, seed: ours(world, many, seed, learned=False),
    }
    for name, way in ways.items():
        good = way(World(), number, SEED)
        bad = way(World(canary_errors=0.04, looks=180), number, SEED)
        print(
            f"  {name:76} {good.rolled_back():7.1%} | {bad.rolled_back():7.1%}, {bad.wrongly_cleared():.1%} go on first",
            flush=True,
        )


def chunks(world: World, number: int, *, learned: bool, rules: Rules | None = None) -> list:
    return [
        ours(world, size, SEED + 10 * index, learned=learned, rules=rules)
        for index, size in enumerate(sizes(number))
    ]


def sizes(number: int) -> list[int]:
    return [min(CHUNK, number - first) for first in range(0, number, CHUNK)]


def share(fates: list, what: str) -> float:
    """Of all canaries those to which it happened: a time that is finite, or a flag."""
    found = np.concatenate([getattr(fate, what) for fate in fates])
    return float((found if found.dtype == bool else np.isfinite(found)).mean())


def rolled(world: World, number: int, *, learned: bool) -> float:
    return share(chunks(world, number, learned=learned), "condemned")


def found(
    name: str, world: World, number: int, goal: float, *, quantile: float = 0.9, learned: bool = False
) -> None:
    """The time from the onset; canaries that were rolled back before it count as false alarms and are left out."""
    times = np.concatenate([fate.condemned for fate in chunks(world, number, learned=learned)])
    times = times[times > world.onset_seconds] - world.onset_seconds
    half, most = np.quantile(times, [0.5, 0.9], method="higher")
    row(
        f"{name}: p{quantile * 100:.0f} (p50 {half:g}, p90 {most:g} s)",
        most if quantile > 0.5 else half,
        goal,
        form="{:g} s",
    )


def row(name: str, value: float, goal: float | None, form: str = "{:.2%}") -> None:
    verdict = "" if goal is None else f"{form.format(goal):>9}  {'kept' if value <= goal else 'MISSED'}"
    print(f"  {name:84} {form.format(value):>9} {verdict}", flush=True)


PARTS = {
    "calm": false_rollbacks,
    "noise": under_noise,
    "whole": whole,
    "bad": for_bad_canaries,
    "good": for_good_canaries,
    "beta": betas,
    "compared": lambda number: compared(min(number, FEW)),
    "tick": lambda _: rollout_tick.main(),
}


if __name__ == "__main__":
    main()
