"""What a verdict means after those before it: wait on, passed, or drifted."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from penelope.domain.contract import ClauseResult, ClauseState, Contract, Verdict, suffices, weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Look again, and bring this to the next call: since when each clause was seen to hold on end, None while it is not."""

    since: tuple[datetime | None, ...]

    @property
    def holding_since(self) -> datetime | None:
        """When the whole contract began to hold; None while it does not."""
        return None if None in self.since else max((moment for moment in self.since if moment), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The contract held as long as it must."""

    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """The contract can no longer come true in time."""

    verdict: Verdict


class _Fate(Enum):
    OPEN = "open"
    KEPT = "kept"
    LOST = "lost"


def progress(
    contract: Contract,
    started_at: datetime,
    before: Waiting | None,
    verdict: Verdict,
    now: datetime,
) -> Waiting | Passed | Drifted:
    """Where a contract stands after one more look; `started_at` is when the change was made, `before` what the last
    call returned.

    Each clause has a deadline by which it must be seen to hold, and a time that it must hold on end. One that began in
    time may be held to its end; one that is not seen to hold by its deadline, or is broken after it, is lost. It ends
    once every clause is kept or lost, or once too much is lost. The verdict of an end says how long it took. `now` is a
    moment of a `Watch`, where time in which nobody looked may not count.
    """
    earlier = before.since if before is not None else (None,) * len(verdict.results)
    results: list[ClauseResult] = []
    since: list[datetime | None] = []
    fates: list[_Fate] = []
    for result, began in zip(verdict.results, earlier, strict=True):
        since.append((began or now) if result.state is ClauseState.HOLDS else None)
        fate = _fate(contract, started_at, result, since[-1], now)
        late = fate is _Fate.LOST and result.state is ClauseState.HOLDS
        results.append(replace(result, state=ClauseState.LATE) if late else result)
        fates.append(fate)
    ended = weighed(contract, tuple(results), now)
    ended = replace(
        ended,
        judged_at=verdict.judged_at,
        waited_seconds=max(0.0, (now - started_at).total_seconds()),
    )
    if not _possible(contract, results, fates):
        return Drifted(verdict=ended)
    if _Fate.OPEN not in fates:
        return Passed(verdict=ended)
    return Waiting(since=tuple(since))


def _fate(
    contract: Contract, started_at: datetime, result: ClauseResult, began: datetime | None, now: datetime
) -> _Fate:
    if ((began or now) - started_at).total_seconds() > contract.deadline_of(result.clause):
        return _Fate.LOST
    if began is None:
        return _Fate.OPEN
    held = (now - began).total_seconds()
    return _Fate.KEPT if held >= contract.hold_of(result.clause) else _Fate.OPEN


def _possible(contract: Contract, results: list[ClauseResult], fates: list[_Fate]) -> bool:
    """Whether the contract would be content if all that is still open came true."""
    hoped = [
        result if fate is _Fate.LOST else replace(result, state=ClauseState.HOLDS)
        for result, fate in zip(results, fates, strict=True)
    ]
    return suffices(contract, hoped)
