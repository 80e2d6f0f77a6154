"""Earned autonomy: what a verified success, a failure, an override or a comparison does to a standing."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from penelope.domain.autonomy import Level, Standing
from penelope.domain.interval import wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Where a pair begins, how low its interval may reach for each level, how far it falls, and caps by name.

    No fall leads below `floor`: what only asks cannot do harm, and in shadow nobody would hear of it any more.

    `needed` holds, for each level above shadow, the lower bound (0…1) from which it is reached: of the agreement of
    decisions that did not act for suggest, and of verified success for both others.
    """

    start: Level = Level.SUGGEST
    fall_levels: int = 1
    floor: Level = Level.SUGGEST
    needed: Mapping[Level, float] = field(
        default_factory=lambda: {Level.SUGGEST: 0.5, Level.SUPERVISED: 0.6, Level.AUTONOMOUS: 0.8}
    )
    cap: Level = Level.AUTONOMOUS
    service_caps: Mapping[str, Level] = field(default_factory=dict)
    playbook_caps: Mapping[str, Level] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(0 <= bound < 1 for bound in self.needed.values()):
            raise ValueError("no number of successes proves that a playbook never fails")

    def cap_of(self, playbook: str, service: str) -> Level:
        """The lowest of all caps that apply."""
        caps = (self.cap, self.service_caps.get(service), self.playbook_caps.get(playbook))
        return min(cap for cap in caps if cap is not None)


def interval(good: int, bad: int) -> tuple[float, float]:
    """The 95 % score interval of a share, 0…1; without any observation all is possible.

    Why Wilson's and not the textbook's normal interval: Brown, Cai, DasGupta, "Interval estimation for a binomial
    proportion", Statistical Science 16 (2001), 101-133.
    """
    count = good + bad
    if not count:
        return 0.0, 1.0
    low, high = wilson(good / count, count)
    # At the edges rounding would leave a trace on the wrong side.
    return max(0.0, low) if good else 0.0, min(1.0, high) if bad else 1.0


def bounds(standing: Standing) -> tuple[float, float]:
    """The interval by which it rises: of agreement in shadow, of success above."""
    return interval(*_counts(standing))


def _counts(standing: Standing) -> tuple[int, int]:
    if standing.level is Level.SHADOW:
        return standing.agreements, standing.disagreements
    return standing.successes, standing.failures


def beginning(policy: Policy, playbook: str, service: str, now: datetime) -> Standing:
    """Where a pair stands that has no past."""
    cap = policy.cap_of(playbook, service)
    return Standing(
        playbook=playbook,
        service=service,
        level=min(policy.start, cap),
        cap=cap,
        reason="nothing is known of it yet",
        since=now,
    )


def succeeded(standing: Standing, policy: Policy) -> Standing:
    """After a success that was verified."""
    return _risen(replace(standing, successes=standing.successes + 1), policy)


def failed(standing: Standing, policy: Policy, now: datetime, why: str) -> Standing:
    """After a contract that was not kept, or a person who overrode it: lower at once, and what was earned is gone."""
    stands = standing.in_force
    level = max(stands.down(policy.fall_levels), min(policy.floor, stands))
    return replace(_anew(standing, level, now, why), failures=1)


def compared(standing: Standing, policy: Policy, *, agreed: bool) -> Standing:
    """After it was told what people did where it did not act."""
    if not agreed:
        return replace(standing, disagreements=standing.disagreements + 1)
    return _risen(replace(standing, agreements=standing.agreements + 1), policy, by_agreement=True)


def placed(standing: Standing, level: Level, now: datetime, why: str) -> Standing:
    """Where a person puts it, but never above its cap; it begins anew there."""
    return _anew(standing, min(level, standing.cap), now, why)


def hindrance(standing: Standing, policy: Policy) -> str:
    """Why it does not stand higher; empty at the top."""
    if standing.in_force is Level.AUTONOMOUS:
        return ""
    if standing.in_force is standing.cap:
        return f"capped at {standing.cap.value} by policy"
    (low, _), wanted = bounds(standing), standing.level.up()
    need, more = policy.needed[wanted], _wanting(standing, policy.needed[wanted])
    what = "agreement" if standing.level is Level.SHADOW else "success"
    return f"{what} is at least {low:.2f} and must be {need:.2f} for {wanted.value}: {more} more in a row"


def _wanting(standing: Standing, need: float) -> int:
    """How many good ones in a row lead up, 1 at the least: nothing rises without a new one."""
    good, bad = _counts(standing)
    most = 1
    while interval(good + most, bad)[0] < need:
        most *= 2
    return bisect_left(range(most), need, lo=1, key=lambda more: interval(good + more, bad)[0])


def _risen(standing: Standing, policy: Policy, *, by_agreement: bool = False) -> Standing:
    """One level higher, where the interval reaches far enough and the cap allows it.

    Out of shadow leads agreement only, for what does not act has no successes; and above it success only.
    """
    if by_agreement is not (standing.level is Level.SHADOW) or standing.level >= standing.cap:
        return standing
    level, (low, _) = standing.level.up(), bounds(standing)
    if low < policy.needed[level]:
        return standing
    what = "agreement with people" if by_agreement else "verified success"
    return replace(standing, level=level, reason=f"{what} is at least {low:.2f}, which is enough")


def _anew(standing: Standing, level: Level, now: datetime, why: str) -> Standing:
    return replace(
        standing,
        level=level,
        successes=0,
        failures=0,
        agreements=0,
        disagreements=0,
        reason=why,
        since=now,
    )
