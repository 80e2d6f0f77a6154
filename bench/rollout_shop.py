"""Rollouts on the shop under load: a good and a bad release, a canary that dies, and Penelope killed at each step.

    PYTHONPATH=examples python bench/rollout_shop.py [--only releases|loss|kills] [--rate 60] [--seed 20261122]

Real Traefik, two real instances of the shop, customers at a bounded rate, and Penelope as a process of her own. Exits with 1
where something does not work, not where a time is missed. Seeded are the moments of the kills that hit a stage at rest; which
requests a bad release fails is the same in every run.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from _ground import percentile
from _shop_scene import NEW_AND_BAD, NEW_AND_GOOD, Scene, opened

from shop.load import Answer
from shop.release import Release
from shop.rollouts import STAGES, Safe, weights_told

SAFE_SECONDS = 2.0
UP = ("before", "written", "unrecorded")
"""Kills in a shift: before Traefik's file was replaced, right after it, and when all is done but nothing is kept of it."""


# --- a good release, and a bad one ------------------------------------------------------------------------


def releases(scene: Scene) -> None:
    for release, status in ((NEW_AND_GOOD, "promoted"), (NEW_AND_BAD, "rolled_back")):
        scene.back_on_a()
        scene.world.deploy(release.name, ("b",))
        roll_out(scene, release, status)
    scene.back_on_a()
    scene.world.deploy(NEW_AND_GOOD.name, ("b",))  # as the other parts find it when they run alone


def roll_out(scene: Scene, release: Release, status: str) -> None:
    began = time.monotonic()
    deployment = scene.rollouts.start(scene.course(), f"release {release.name}")
    ended = scene.rollouts.await_end(deployment, 1800)
    over = time.monotonic()
    time.sleep(1.0)
    events = scene.rollouts.events(deployment)
    answers = scene.answers(began, over)
    right = ended["status"] == status
    what = f"release {release.name} ({release.error_ratio:.0%} errors)"
    scene.note(
        f"{what}: ended",
        f"{ended['status']}: {ended['reason'][:80]}" if not right else status,
        status,
        kept=right,
        broken=not right,
    )
    scene.note(
        "  requests: in all, by the canary, failed, of them by the canary",
        told_of(answers),
        hurt_goal(release),
        kept=not_hurt(release, answers),
    )
    scene.note("  first traffic to the decision", f"{seconds_to_decision(events):.1f} s")
    scene.note("  weights, as Traefik had them", as_text(scene.weights_between(began, over + 1.0)))
    late = [each for each in scene.answers(over + 0.25, over + 1.0) if each.instance == "b"]
    if status == "rolled_back":
        scene.note("  on the canary later than 0.25 s after the end", str(len(late)), "0", kept=not late)
        decided = moment(decision(events))
        last = max((each.at for each in answers if each.instance == "b"), default=decided)
        scene.note(
            "  decision to the canary's last answer",
            f"{1000 * (last - decided):.0f} ms",
            "250 ms",
            kept=last - decided <= 0.25,
        )


def told_of(answers: Sequence[Answer]) -> str:
    canary = [each for each in answers if each.instance == "b"]
    failed = [each for each in answers if not each.ok]
    return f"{len(answers)}, {len(canary)}, {len(failed)}, {sum(each.instance == 'b' for each in failed)}"


def hurt_goal(release: Release) -> str:
    return "failed by none but it" if release.error_ratio else "0 failed"


def not_hurt(release: Release, answers: Sequence[Answer]) -> bool:
    failed = [each for each in answers if not each.ok]
    return all(release.error_ratio and each.instance == "b" for each in failed)


def as_text(weights: Sequence[tuple[float, int]]) -> str:
    return ", ".join(f"{weight} % at {at:.1f} s" for at, weight in weights)


def decision(events: Sequence[dict[str, Any]]) -> datetime:
    """When the last weight was decided: the look that promoted to it, or that rolled back."""
    judged = [event for event in events if event["details"].get("step") in {"promote", "rollback"}]
    return datetime.fromisoformat(judged[-1]["at"])


def seconds_to_decision(events: Sequence[dict[str, Any]]) -> float:
    shifted = next(event for event in events if event["event"] == "TrafficShifted")
    return (decision(events) - datetime.fromisoformat(shifted["at"])).total_seconds()


def moment(at: datetime) -> float:
    """A moment of the wall's clock on the monotonic one."""
    return at.timestamp() - time.time() + time.monotonic()


# --- a canary that dies -----------------------------------------------------------------------------------


def loss(scene: Scene) -> None:
    for name, traefik in (("Traefik", True), ("the instances", False)):
        scene.back_on_a()
        scene.rollouts.count_by(traefik=traefik)
        scene.restart()
        lose_canary(scene, f"canary killed at 25 %, counted by {name}")
    scene.rollouts.count_by(traefik=True)
    scene.restart()


def lose_canary(scene: Scene, what: str) -> None:
    deployment = scene.at_stage(25)
    time.sleep(2.0)
    lost = time.monotonic()
    scene.world.lose("b")
    ended = scene.rollouts.await_end(deployment, 180)
    over = time.monotonic()
    time.sleep(2.0)
    events = scene.rollouts.events(deployment)
    answers = scene.answers(lost, over + 2.0)
    failed = [each for each in answers if not each.ok]
    weight = scene.rollouts.live_weights()["b"]
    right = (ended["status"], weight) == ("rolled_back", 0)
    scene.note(
        f"{what}: ended",
        f"{ended['status']} at {weight} %, cause {ended['cause']}",
        "rolled_back at 0 %",
        kept=right,
        broken=not right,
    )
    rate = len(answers) / (over + 2.0 - lost)
    bound = int(0.25 * rate * 2.5) + 5
    last = max((each.at for each in failed), default=lost) - lost
    scene.note(
        "  requests since then, failed",
        f"{len(answers)}, {len(failed)}",
        f"{bound}: 25 % of 2.5 s",
        kept=len(failed) <= bound,
    )
    scene.note("  the last one that failed, after the death", f"{last:.2f} s", "2.5 s", kept=last <= 2.5)
    decided = moment(decision(events)) - lost
    scene.note("  death to decision; to its end", f"{decided:.2f} s; {over - lost:.2f} s")
    scene.world.bring_back("b")


# --- kill -9 of Penelope ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Death:
    """One kill: where, which weight was known afterwards, and how long that took."""

    where: str
    weight: int
    seconds: float
    """From the first answer of the restarted process."""
    seconds_from_start: float
    requests: int
    failed: int
    """Failed from the kill until then and a second more, without those that a bad release failed itself."""
    right: bool


class Killing:
    """Kills Penelope in one rollout after another, and starts her again."""

    def __init__(self, scene: Scene) -> None:
        self.deaths: list[Death] = []
        self._scene = scene

    def survive(self, where: str, expected: int, killed: float, *, bad: bool = False) -> Safe:
        scene = self._scene
        scene.penelope.kill()
        started = time.monotonic()
        scene.rollouts.launch()
        safe = scene.rollouts.await_safety()
        time.sleep(1.0)
        answers = scene.answers(killed, safe.known_at + 1.0)
        failed = [each for each in answers if not each.ok and not (bad and each.instance == "b")]
        death = Death(
            where=where,
            weight=safe.weight,
            seconds=safe.known_at - safe.serving_at,
            seconds_from_start=safe.known_at - started,
            requests=len(answers),
            failed=len(failed),
            right=safe.weight == expected,
        )
        self.deaths.append(death)
        scene.note(
            f"  {where}",
            f"{death.weight} % known after {death.seconds:.2f} s ({death.seconds_from_start:.1f} s from the process's start)",
            f"{expected} %, {SAFE_SECONDS:g} s",
            kept=death.right and death.seconds <= SAFE_SECONDS,
            broken=not death.right or bool(failed),
        )
        return safe

    def at_boundary(
        self, boundary: str, expected: int, cause: Callable[[], object], *, bad: bool = False
    ) -> str:
        """Dooms her, does what brings her there, and gives the rollout that she was killed in."""
        rollouts = self._scene.rollouts
        rollouts.die_at(boundary)
        cause()
        rollouts.await_death()
        return self.survive(boundary, expected, time.monotonic(), bad=bad).deployment

    def upward(self, weight: int, when: str) -> str:
        """In the shift to a weight; the rollout goes on to it by itself."""
        rollouts, boundary = self._scene.rollouts, f"{when} shift to {weight} %"
        manual = self._scene.course(manual=True)
        if weight == STAGES[0]:
            return self.at_boundary(boundary, weight, lambda: rollouts.start(manual, boundary))
        stage = STAGES.index(weight) - 1
        deployment = self._scene.at_stage(STAGES[stage])
        return self.at_boundary(boundary, weight, lambda: rollouts.say(deployment, "step", stage))

    def at_rest(self, weight: int) -> None:
        """At a moment by chance while the stage is watched."""
        deployment = self._scene.at_stage(weight)
        time.sleep(self._scene.chance.uniform(0.1, 1.5))
        killed = time.monotonic()
        self._scene.penelope.kill()
        self.survive(f"at {weight} %, by chance", weight, killed)
        self.back(deployment)

    def back(self, deployment: str) -> None:
        self._scene.rollouts.say(deployment, "abort")
        self.check(deployment, "rolled_back", 0)

    def check(self, deployment: str, status: str, weight: int) -> None:
        """Raises AssertionError unless it ends so, has had planned weights only, and each change of them once."""
        scene = self._scene
        assert scene.rollouts.await_end(deployment)["status"] == status, deployment
        assert scene.rollouts.live_weights()["b"] == weight
        told = weights_told(scene.rollouts.events(deployment))
        ways = [list(STAGES[:count]) for count in range(len(STAGES) + 1)]
        assert told[-1] == weight, told
        assert (told if status == "promoted" else told[:-1]) in ways, told


def kills(scene: Scene) -> None:
    killing, began = Killing(scene), time.monotonic()
    for weight in STAGES[:-1]:
        for when in UP:
            killing.back(killing.upward(weight, when))
        killing.at_rest(weight)
    for when in UP:
        promote(scene, killing, f"{when} shift to 100 %")
    promote(scene, killing, "before finalise")
    for boundary in (*(f"{when} shift to 0 %" for when in UP), "before finalise"):
        roll_back(scene, killing, boundary)
    roll_back_by_herself(scene, killing)
    summary(scene, killing.deaths, began)


def promote(scene: Scene, killing: Killing, boundary: str) -> None:
    deployment = scene.at_stage(50)
    killing.at_boundary(boundary, 100, lambda: scene.rollouts.say(deployment, "promote"))
    killing.check(deployment, "promoted", 100)
    scene.back_on_a()


def roll_back(scene: Scene, killing: Killing, boundary: str) -> None:
    deployment = scene.at_stage(50)
    killing.at_boundary(boundary, 0, lambda: scene.rollouts.say(deployment, "abort"))
    killing.check(deployment, "rolled_back", 0)


def roll_back_by_herself(scene: Scene, killing: Killing) -> None:
    """A bad release, and a death in the rollback that nobody asked for."""
    scene.world.deploy(NEW_AND_BAD.name, ("b",))
    manual = scene.course(manual=True)
    deployment = killing.at_boundary(
        "written shift to 0 %", 0, lambda: scene.rollouts.start(manual, "a bad release"), bad=True
    )
    killing.check(deployment, "rolled_back", 0)
    scene.world.deploy(NEW_AND_GOOD.name, ("b",))


def summary(scene: Scene, deaths: Sequence[Death], began: float) -> None:
    serving = [death.seconds for death in deaths]
    whole = [death.seconds_from_start for death in deaths]
    requests, failed = sum(death.requests for death in deaths), sum(death.failed for death in deaths)
    planned = {0, *STAGES}
    assert scene.sampler.is_alive(), "nobody looked at Traefik's weights"
    strange = {weight for at, weight in scene.sampler.changes if at >= began} - planned
    scene.note(
        f"{len(deaths)} kills: serving to a safe known weight, p50 / max",
        f"{percentile(serving, 0.5):.2f} / {max(serving):.2f} s",
        f"{SAFE_SECONDS:g} s",
        kept=max(serving) <= SAFE_SECONDS,
    )
    scene.note(
        "  the same from the process's start, p50 / max", f"{percentile(whole, 0.5):.1f} / {max(whole):.1f} s"
    )
    scene.note(
        "  requests meanwhile, failed by the kills",
        f"{requests}, {failed}",
        "0",
        kept=not failed,
        broken=bool(failed),
    )
    scene.note(
        "  weights that nobody planned, as Traefik had them",
        str(sorted(strange) or 0),
        "0",
        kept=not strange,
        broken=bool(strange),
    )


PARTS: dict[str, Callable[[Scene], None]] = {"releases": releases, "loss": loss, "kills": kills}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument(
        "--latency", action=argparse.BooleanOptionalAction, default=True, help="judged beside errors"
    )
    parser.add_argument("--json", help="a file for the rows")
    given = parser.parse_args()
    print(f"{given.rate:g} requests/s asked for, seed {given.seed}, load of the machine {loads()}")
    with opened(given) as scene:
        began = time.monotonic()
        for name, part in PARTS.items():
            if given.only in {None, name}:
                part(scene)
        took = time.monotonic() - began
        served = len(scene.answers(began, time.monotonic()))
    print(f"{served / took:.1f} requests/s served over {took:.0f} s, load of the machine {loads()}")
    if given.json:
        Path(given.json).write_text(
            json.dumps([asdict(row) for row in scene.rows], indent=1), encoding="utf-8"
        )
    sys.exit(any(row.broken for row in scene.rows))


def loads() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


if __name__ == "__main__":
    main()
