"""Whose word is needed: benches of seats, and which of them a plan has to convince."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from penelope.domain.people import AGENT, APPROVER

RULE = "rule:"
"""What the seat of a gate rule begins with, as in ``rule:scanner``."""


class Standing(StrEnum):
    """Where a vote stands as a whole."""

    OPEN = "open"
    CARRIED = "carried"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Seats of one role, of which `needed` must say yes. As soon as so many no longer can, the vote is lost."""

    role: str = APPROVER
    needed: int = 1
    seats: int = 1

    @property
    def machine(self) -> bool:
        """Whether a gate rule or an agent sits here, and no person."""
        return self.role.startswith((RULE, AGENT))

    def __str__(self) -> str:
        of = "" if self.seats == self.needed else f" of {self.seats}"
        return f"{self.needed}{of} {self.role}"


Quorum = tuple[Bench, ...]

ANY_APPROVER: Quorum = (Bench(),)


def standing(quorum: Sequence[Bench], votes: Iterable[tuple[str, bool]]) -> Standing:
    """What votes, each a role and whether it is a yes, come to: every bench must be convinced, one can refuse."""
    counted = Counter(votes)
    if not quorum or any(bench.seats - counted[bench.role, False] < bench.needed for bench in quorum):
        return Standing.LOST
    if all(counted[bench.role, True] >= bench.needed for bench in quorum):
        return Standing.CARRIED
    return Standing.OPEN


_SEATS = re.compile(rf"([1-9]\d?)(?: of ([1-9]\d?))? ((?:{RULE}|{AGENT})?[a-z0-9][a-z0-9._-]*)")
_CONDITION = re.compile(r"(?:tier ([1-4])|risk (0(?:\.\d+)?|1(?:\.0+)?)):\s*(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumRule:
    """The quorum of plans whose tier or risk (0…1) is at least so much."""

    tier: int | None = None
    risk: float | None = None
    quorum: Quorum

    def covers(self, tier: int, risk: float) -> bool:
        return (self.tier is not None and tier >= self.tier) or (self.risk is not None and risk >= self.risk)


def quorum_rule_from(text: str) -> QuorumRule:
    """A rule from a line such as ``tier 4: 2 approver`` or ``risk 0.8: 2 of 3 approver + 1 dba``.

    Raises ValueError, also where no person would have a word.
    """
    condition = _CONDITION.fullmatch(text.strip())
    if condition is None:
        raise ValueError(
            f"{text!r} should look like `tier 4: 2 approver` or `risk 0.8: 2 of 3 approver + 1 dba`"
        )
    tier, risk, seats = condition.groups()
    return QuorumRule(
        tier=None if tier is None else int(tier),
        risk=None if risk is None else float(risk),
        quorum=_quorum_from(seats),
    )


def _quorum_from(text: str) -> Quorum:
    benches: list[Bench] = []
    for part in text.split("+"):
        found = _SEATS.fullmatch(part.strip())
        if found is None:
            raise ValueError(
                f"{part.strip()!r} should look like `2 approver`, `2 of 3 dba` or `1 rule:scanner`"
            )
        needed, seats = int(found[1]), int(found[2] or found[1])
        if needed > seats:
            raise ValueError(f"{part.strip()!r} needs more votes than there are seats")
        benches.append(Bench(role=found[3], needed=needed, seats=seats))
    if len({bench.role for bench in benches}) < len(benches):
        raise ValueError(f"{text!r} names a role twice")
    if all(bench.machine for bench in benches):
        raise ValueError(f"{text!r} gives no person a seat: a machine's word replaces nobody's")
    return tuple(benches)


def quorum_for(rules: Sequence[QuorumRule], tier: int, risk: float) -> Quorum:
    """That of the first rule that covers the plan; one word of any approver where none does."""
    return next((rule.quorum for rule in rules if rule.covers(tier, risk)), ANY_APPROVER)
