"""What a trial came to: judges what was seen of it, without touching anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from penelope.domain.action import Tier
from penelope.domain.plan import BlockKind, BlockTemplate, Playbook, StepTemplate
from penelope.flow.executing import UNFORESEEN
from penelope.kit.canonical import Json, canonical
from penelope.testing.kit import Finding, Kind, Trial

Judged = tuple[Finding, str]

_MOST_SHOWN = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How it goes when nothing disturbs it: the world before, after each execution and at the end.

    `events` counts what each execution did outside, by its place in the order of actions, and `seconds` is how long it
    took; `stays` names the steps that are not meant to be taken back. With `side_by_side` steps, one may be done without
    the one beside it.
    """

    before: Json
    path: tuple[Json, ...] = ()
    healed: Json = None
    effects: Mapping[str, int] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    events: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    stays: tuple[str, ...] = ()
    side_by_side: bool = False


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a trial has shown. `failure` is trouble of the kit or the world, in which nothing else counts."""

    state: str = ""
    history: Sequence[Mapping[str, Json]] = ()
    flaws: Sequence[str] = ()
    failure: str = ""
    fired: bool = False
    deaths: int = 0
    before: Json = None
    after: Json = None
    healthy: bool = False
    effects: Mapping[str, int] = field(default_factory=dict)
    strays: set[str] = field(default_factory=set)
    touched: str = ""
    repeated: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Of each action that was repeated: its name, what a probe found, what a second try said, how the world changed."""

    @property
    def reason(self) -> str:
        """Why the story ended as it did."""
        said = [str(item["reason"]) for item in self.history if item["event"] in _ENDS]
        return said[-1] if said else ""

    def has(self, event: str) -> bool:
        return any(item["event"] == event for item in self.history)


_ENDS = frozenset({"IncidentHealed", "IncidentEscalated", "IncidentResolved"})


def stays(playbook: Playbook) -> tuple[str, ...]:
    """The steps that stay when the rest is taken back: those that say so, and irreversible ones."""
    return tuple(step.name for step in playbook.every_step if step.keep or step.tier is Tier.IRREVERSIBLE)


def side_by_side(playbook: Playbook) -> bool:
    """Whether any steps are carried out at the same time."""
    return any(_has_branches(item) for item in (*playbook.steps, *playbook.after))


def _has_branches(item: StepTemplate | BlockTemplate) -> bool:
    if isinstance(item, StepTemplate):
        return False
    return item.kind is BlockKind.PARALLEL or any(map(_has_branches, (*item.steps, *item.otherwise)))


def judged(trial: Trial, seen: Seen, record: Rehearsed) -> Judged:
    """The finding about a trial, and why."""
    if trouble := next((text for wrong, text in _troubles(seen) if wrong), ""):
        return Finding.BROKEN, trouble
    came = seen.fired and (trial.kind is not Kind.DIES or seen.deaths > 0)
    if not came and trial.kind in {Kind.FAILS, Kind.DIES}:
        sound, why = _sound(trial, seen, record)
        return (sound, why) if sound is Finding.BROKEN else (Finding.NOTED, "it never comes there")
    judges: Mapping[Kind, Callable[[], Judged]] = {
        Kind.HEALS: lambda: _heals(seen),
        Kind.AGAIN: lambda: _again(seen, record),
        Kind.REPEATED: lambda: _repeated(seen),
        Kind.ROLLBACK: lambda: _rolled_back(seen, record),
    }
    return judges.get(trial.kind, lambda: _sound(trial, seen, record))()


def _troubles(seen: Seen) -> Iterator[tuple[bool, str]]:
    """What must never be, whatever is tried; the first that is true counts."""
    yield bool(seen.failure), seen.failure
    yield bool(seen.touched), f"something outside of the world was touched: {seen.touched}"
    yield bool(seen.strays), f"it wrote outside of the world: {', '.join(sorted(seen.strays))}"
    yield bool(seen.flaws), f"the ledger does not verify: {', '.join(seen.flaws[:3])}"
    unhandled = "Penelope failed:" in seen.reason or UNFORESEEN in seen.reason
    yield unhandled, f"an error that nobody handles: {seen.reason}"
    yield not seen.reason, f"the incident ended ({seen.state}) without a reason"
    yield seen.has("CompensationFailed"), f"taking it back failed: {seen.reason}"


def _heals(seen: Seen) -> Judged:
    if seen.state != "healed":
        return Finding.BROKEN, f"it ended {seen.state}: {seen.reason}"
    if not seen.healthy:
        return Finding.BROKEN, "it ended healed, but the world is not healthy"
    verdicts = [item["details"] for item in seen.history if item["event"] == "VerdictReached"]
    if not verdicts or not all(item["passed"] for item in verdicts):
        return Finding.BROKEN, "it ended healed without a verdict that passed"
    return Finding.HELD, f"healed, verified, {len(seen.history)} entries"


def _again(seen: Seen, record: Rehearsed) -> Judged:
    if not seen.healthy:
        return Finding.BROKEN, f"the world is no longer healthy ({seen.state}: {seen.reason})"
    if not same(seen.after, record.healed):
        return Finding.BROKEN, f"the second time it changed more: {difference(record.healed, seen.after)}"
    if not seen.has("ActionStarted"):
        return Finding.HELD, f"nothing was done: {seen.reason}"
    if seen.state == "healed":
        return Finding.HELD, "it was done again and changed nothing more"
    return Finding.NOTED, f"it acted again for nothing, and took that back: {seen.reason}"


def _repeated(seen: Seen) -> Judged:
    if seen.state != "healed":
        return Finding.BROKEN, f"it ended {seen.state}: {seen.reason}"
    for name, progress, said, change in seen.repeated:
        if wrong := _wrong(progress, said, change):
            return Finding.BROKEN, f"{name}: {wrong}"
    blind = [name for name, _, said, _ in seen.repeated if said == "unknown"]
    if blind:
        return Finding.NOTED, f"nobody can tell after a crash whether it happened: {', '.join(blind)}"
    return Finding.HELD, f"{len(seen.repeated)} actions, each one effect"


def _wrong(progress: str, said: str, change: str) -> str:
    """What is wrong with an action that was executed, probed and asked for once more."""
    if change:
        return f"the second execution had an effect: {change}"
    if progress in {"not_applied", "partial"}:
        return f"its probe says {progress} right after it was executed"
    return "" if said in {"repeated", "unknown"} else f"the second execution came to: {said}"


def _rolled_back(seen: Seen, record: Rehearsed) -> Judged:
    if seen.state != "escalated":
        return Finding.BROKEN, f"its verification failed, and yet it ended {seen.state}: {seen.reason}"
    if same(seen.after, seen.before):
        return Finding.HELD, seen.reason
    gap = difference(seen.before, seen.after)
    if record.stays and _is_partly_done(seen, record):
        return Finding.NOTED, f"not meant to be taken back: {', '.join(record.stays)} ({gap})"
    return Finding.BROKEN, f"the rollback did not restore: {gap}"


def _sound(trial: Trial, seen: Seen, record: Rehearsed) -> Judged:
    """Either as promised, or as before with a reason; each action in effect once."""
    end = f"{seen.state} after {seen.deaths} deaths" if seen.deaths else seen.state
    if seen.state == "healed":
        return _as_promised(trial, seen, record, end)
    if same(seen.after, seen.before):
        return Finding.HELD, f"{end}, all as before: {seen.reason}"
    if trial.kind is Kind.FUZZED and seen.healthy:
        return Finding.HELD, f"{end}, and healthy: {seen.reason}"
    return _half_way(trial, seen, record, end)


def _half_way(trial: Trial, seen: Seen, record: Rehearsed, end: str) -> Judged:
    """Handed to people with the world changed: right where nobody can know, or where a step is meant to stay."""
    gap = difference(seen.before, seen.after)
    if "nobody knows what is there" in seen.reason:
        if is_on_the_way(seen, record):
            return Finding.HELD, f"{end}, as promised so far: {seen.reason}"
        if trial.kind is Kind.FUZZED:
            return Finding.NOTED, f"{end}, left for a person to see ({gap}): {seen.reason}"
    if record.stays and _is_partly_done(seen, record):
        return Finding.NOTED, f"{end}; not meant to be taken back: {', '.join(record.stays)} ({gap})"
    return Finding.BROKEN, f"{end}, neither as before nor as promised: {gap}; {seen.reason}"


def _as_promised(trial: Trial, seen: Seen, record: Rehearsed, end: str) -> Judged:
    if not seen.healthy:
        return Finding.BROKEN, f"{end}, but the world is not healthy"
    if trial.kind is Kind.FUZZED:
        return Finding.HELD, f"{end}: the value did no harm"
    if not same(seen.after, record.healed):
        return Finding.BROKEN, f"{end}, but not as promised: {difference(record.healed, seen.after)}"
    if dict(seen.effects) != dict(record.effects):
        return (
            Finding.BROKEN,
            f"{end}, but not once each: {difference(dict(record.effects), dict(seen.effects))}",
        )
    return Finding.HELD, f"{end}, as promised, once"


def is_on_the_way(seen: Seen, record: Rehearsed) -> bool:
    """Whether the world is as it was at some moment when nothing disturbed; each part of it where steps go side by side."""
    if record.side_by_side:
        return _is_partly_done(seen, record)
    return _is_one_of(seen.after, (*record.path, record.healed))


def _is_partly_done(seen: Seen, record: Rehearsed) -> bool:
    """Whether each part of the world is as before, or as it was at some moment when nothing disturbed."""
    return _mixed(seen.after, (seen.before, *record.path, record.healed))


def _is_one_of(state: Json, known: Sequence[Json]) -> bool:
    return any(same(state, each) for each in known)


def _mixed(state: Json, known: Sequence[Json]) -> bool:
    """Whether each part of a state is as in one of those that are known, at whichever depth they differ."""
    if _is_one_of(state, known):
        return True
    parts = [each for each in known if isinstance(each, Mapping)]
    if not isinstance(state, Mapping) or not parts:
        return False
    keys = dict.fromkeys((*state, *(key for each in parts for key in each)))
    return all(_mixed(state.get(key), [each.get(key) for each in parts]) for key in keys)


def same(one: Json, other: Json) -> bool:
    """Whether two states of a world are equal; 1, 1.0 and True are three things."""
    return canonical(one) == canonical(other)


def difference(before: Json, after: Json) -> str:
    """Where two states are not equal, in a line."""
    text = "; ".join(_differences(before, after, ""))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _differences(before: Json, after: Json, where: str) -> list[str]:
    if same(before, after):
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            text
            for key in dict.fromkeys((*before, *after))
            for text in _differences(before.get(key), after.get(key), f"{where}.{key}" if where else str(key))
        ]
    return [f"{where or 'state'} was {_short(before)}, is {_short(after)}"]


def _short(value: Json) -> str:
    text = canonical(value).decode()
    return text if len(text) <= 60 else f"{text[:60]}…"
