"""What a verdict means after those before it: wait on, passed, or drifted."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from penelope.domain.contract import ClauseResult, ClauseState, Contract, Verdict, suffices, weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a clause stands: since when it was seen to hold on end, and when it was last seen not to."""

    holding_since: datetime | None = None
    missed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Look again, and bring this to the next call: a mark for each clause."""

    marks: tuple[Mark, ...]

    @property
    def holding_since(self) -> datetime | None:
        """When the whole contract began to hold; None while it does not."""
        since = [mark.holding_since for mark in self.marks]
        return None if None in since else max((moment for moment in since if moment), default=None)


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

    Each clause has a deadline by which it must begin to hold, and a time that it must hold on end. One that began in
    time may be held to its end, and one that is seen broken after its deadline is lost. Between two looks anything may
    have happened: what was last seen broken in time, and then seen to hold, began in time, however late it was looked
    at, for nobody saw it otherwise; but its hold counts only from then. It ends once every clause is kept or lost, or
    once too much is lost. The verdict of an end says how long it took.
    """
    earlier = before.marks if before is not None else (Mark(),) * len(verdict.results)
    results: list[ClauseResult] = []
    marks: list[Mark] = []
    fates: list[_Fate] = []
    for result, mark in zip(verdict.results, earlier, strict=True):
        marks.append(_marked(result, mark, now))
        fate = _fate(contract, started_at, result, marks[-1], now)
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
    return Waiting(marks=tuple(marks))


def _marked(result: ClauseResult, mark: Mark, now: datetime) -> Mark:
    if result.state is ClauseState.HOLDS:
        return replace(mark, holding_since=mark.holding_since or now)
    return Mark(missed_at=now)


def _fate(contract: Contract, started_at: datetime, result: ClauseResult, mark: Mark, now: datetime) -> _Fate:
    deadline = contract.deadline_of(result.clause)
    if mark.missed_at is not None and (mark.missed_at - started_at).total_seconds() > deadline:
        return _Fate.LOST
    if mark.holding_since is None:
        return _Fate.OPEN
    held = (now - mark.holding_since).total_seconds()
    return _Fate.KEPT if held >= contract.hold_of(result.clause) else _Fate.OPEN


def _possible(contract: Contract, results: list[ClauseResult], fates: list[_Fate]) -> bool:
    """Whether the contract would be content if all that is still open came true."""
    hoped = [
        result if fate is _Fate.LOST else replace(result, state=ClauseState.HOLDS)
        for result, fate in zip(results, fates, strict=True)
    ]
    return suffices(contract, hoped)
