"""What a verdict means after those before it: wait on, passed, or drifted."""

from dataclasses import dataclass, replace
from datetime import datetime

from penelope.domain.contract import Contract, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Look again. `holding_since` is when the contract began to hold, for the next call; None while it does not."""

    holding_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The contract held as long as it must."""

    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """The contract can no longer come true in time."""

    verdict: Verdict


def progress(
    contract: Contract,
    started_at: datetime,
    holding_since: datetime | None,
    verdict: Verdict,
    now: datetime,
) -> Waiting | Passed | Drifted:
    """Where a contract stands after one more look; `started_at` is when the change was made.

    The deadline is for the beginning of the hold: one that began in time may be held to its end, and one
    broken after the deadline does not begin anew. What happens between two looks is seen only as far as
    the figures cover it. The verdict of an end says how long it took.
    """
    began = (holding_since or now) if verdict.passed else None
    too_late = ((began or now) - started_at).total_seconds() > contract.deadline_seconds
    ended = replace(verdict, waited_seconds=max(0.0, (now - started_at).total_seconds()))
    if too_late:
        return Drifted(verdict=ended)
    if began is not None and (now - began).total_seconds() >= contract.hold_seconds:
        return Passed(verdict=ended)
    return Waiting(holding_since=began)
