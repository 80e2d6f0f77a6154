"""Learns the noise of a service look by look, from two arms that are alike: a few sums, however long it takes.

It comes to what `tempering.learn` makes of all looks at once. Blocks are looks on end: what breaks the row, such as a
source that was away, throws the blocks away that were being filled, and no more.
"""

from dataclasses import dataclass, replace

import numpy as np

from penelope.domain.analysis import ArmTotals, Noise, Tempering
from penelope.domain.calibration import LONGEST_LOOK_SECONDS
from penelope.rooms.rollout.eprocess import Array, Table
from penelope.rooms.rollout.tempering import BLOCKS_SECONDS, enough, factor_of, moments

_NEXT_TO_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Sums over blocks of one length, by row: those that are `whole`, and the one that is being filled (`open_…`)."""

    whole: int = 0
    squares: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    open_seconds: float = 0.0
    open_excess: tuple[float, ...] = ()
    open_spread: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What was seen of one kind of events: by row, which is one for errors and one for each edge of slow requests.

    `information` is what there was to be seen, summed over `seconds`: events (for slow requests all that were timed)
    x share x (1 - share).
    """

    seconds: float = 0.0
    events: tuple[float, ...] = ()
    information: float = 0.0
    blocks: tuple[Blocks, ...] = (Blocks(),) * len(BLOCKS_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was seen so far: `requests` of both arms within `seconds`, and the sums that the noise is learned from."""

    seconds: float = 0.0
    requests: float = 0.0
    errors: Track = Track()
    slow: Track = Track()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What a lesson has taught; without `errors` (or `latency`) there was too little to learn that from."""

    tempering: Tempering
    errors: bool
    latency: bool


def heard(lesson: Lesson, canary: ArmTotals, control: ArmTotals, seconds: float) -> Lesson:
    """The lesson with one more look, `seconds` long. One that is longer than a block breaks the row."""
    if seconds > LONGEST_LOOK_SECONDS or not canary.requests or not control.requests:
        return broken(lesson)
    errors = Table(
        np.array([canary.errors]),
        np.array([canary.requests]),
        np.array([canary.errors + control.errors]),
        np.array([canary.requests + control.requests]),
    )
    slow = lesson.slow
    if canary.timed and control.timed:
        own, other = np.array(canary.slow), np.array(control.slow)
        timed = np.full(own.shape, canary.timed)
        table = Table(own, timed, own + other, timed + control.timed)
        slow = _tracked(slow, table, seconds, table.total)
    else:
        slow = _row_broken(slow)
    return Lesson(
        seconds=lesson.seconds + seconds,
        requests=lesson.requests + canary.requests + control.requests,
        errors=_tracked(lesson.errors, errors, seconds, errors.events),
        slow=slow,
    )


def broken(lesson: Lesson) -> Lesson:
    """The lesson after a look that says nothing: the blocks that were being filled are begun anew."""
    return replace(lesson, errors=_row_broken(lesson.errors), slow=_row_broken(lesson.slow))


def taught(lesson: Lesson) -> Taught:
    """What the lesson comes to; what there was too little of is taken for no noisier than dice."""
    errors, errors_known = _noise(lesson.errors)
    latency, latency_known = _noise(lesson.slow)
    tempering = Tempering(errors=errors, latency=latency)
    return Taught(tempering=tempering, errors=errors_known, latency=latency_known)


def _noise(track: Track) -> tuple[Noise, bool]:
    if not track.events:
        return Noise(), False
    whole = [each.whole for each in track.blocks]
    known = enough(whole, np.array(track.events))
    if not known.any():
        return Noise(), False
    ratios = [np.array(each.squares) / np.maximum(each.spread, _NEXT_TO_NOTHING) for each in track.blocks]
    factor = float(np.max(factor_of(ratios, whole, np.array(track.events))))
    return Noise(factor=factor, information=track.information / track.seconds), True


def _tracked(track: Track, table: Table, seconds: float, seen: Array) -> Track:
    nothing = (0.0,) * len(table.events)
    if len(track.events) != len(nothing):  # the first look, or the first one with a histogram
        track = Track(events=nothing, blocks=(_empty(nothing),) * len(BLOCKS_SECONDS))
    share = float(table.own_total[0] / max(table.total[0], 1.0))
    at = moments(table)
    blocks = [
        _filled(each, at.excess, at.spread, seconds, length)
        for each, length in zip(track.blocks, BLOCKS_SECONDS, strict=True)
    ]
    return Track(
        seconds=track.seconds + seconds,
        events=_sum(track.events, table.events),
        information=track.information + float(seen[0]) * share * (1.0 - share),
        blocks=tuple(blocks),
    )


def _empty(nothing: tuple[float, ...]) -> Blocks:
    return Blocks(squares=nothing, spread=nothing, open_excess=nothing, open_spread=nothing)


def _filled(blocks: Blocks, excess: Array, spread: Array, seconds: float, length: float) -> Blocks:
    """A block is whole where another half of a look would make it too long."""
    filling = replace(
        blocks,
        open_seconds=blocks.open_seconds + seconds,
        open_excess=_sum(blocks.open_excess, excess),
        open_spread=_sum(blocks.open_spread, spread),
    )
    if filling.open_seconds + seconds / 2 < length:
        return filling
    nothing = (0.0,) * len(blocks.squares)
    return Blocks(
        whole=blocks.whole + 1,
        squares=_sum(blocks.squares, np.square(filling.open_excess)),
        spread=_sum(blocks.spread, np.array(filling.open_spread)),
        open_excess=nothing,
        open_spread=nothing,
    )


def _row_broken(track: Track) -> Track:
    nothing = (0.0,) * len(track.events)
    blocks = [
        replace(each, open_seconds=0.0, open_excess=nothing, open_spread=nothing) for each in track.blocks
    ]
    return replace(track, blocks=tuple(blocks))


def _sum(before: tuple[float, ...], more: Array) -> tuple[float, ...]:
    return tuple((np.array(before) + more).tolist())
