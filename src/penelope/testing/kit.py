"""What the playbook test kit tries by itself, as values; kit_run carries trials out, kit_session does so under pytest."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.lint import Adapters, check
from penelope.adapters.playbooks.load import files_in, shipped_folder
from penelope.domain.plan import Playbook
from penelope.errors import BadSettings, InvalidPlaybook, UnknownPlaybook
from penelope.testing.worlds import GROUP, World

FUZZ_CASES = 12
QUICK_FUZZ_CASES = 3


class Kind(StrEnum):
    """What a trial is about."""

    HEALS = "heals"
    AGAIN = "again"
    REPEATED = "repeated"
    ROLLBACK = "rollback"
    FAILS = "fails"
    DIES = "dies"
    FUZZED = "fuzzed"


class Place(StrEnum):
    """Where in an action something can be made to happen.

    DURING is in the middle of an execution, after some of what it does outside is done; SEEN is the moment at which the
    world looks another than before. A verification has no action of its own.
    """

    BEFORE_SNAPSHOT = "before_snapshot"
    AFTER_SNAPSHOT = "after_snapshot"
    BEFORE_EXECUTE = "before_execute"
    DURING_EXECUTE = "during_execute"
    SEEN_EXECUTE = "seen_execute"
    AFTER_EXECUTE = "after_execute"
    BEFORE_VERIFY = "before_verify"
    BEFORE_COMPENSATE = "before_compensate"
    DURING_COMPENSATE = "during_compensate"
    AFTER_COMPENSATE = "after_compensate"


_PLAIN = {
    Kind.HEALS: "heals",
    Kind.AGAIN: "the same alert again",
    Kind.REPEATED: "each action repeated",
    Kind.ROLLBACK: "rollback restores",
}

COMPENSATING = (Place.BEFORE_COMPENSATE, Place.DURING_COMPENSATE, Place.AFTER_COMPENSATE)

FAULTS = tuple(
    (error, place)
    for error in ("ActionFailed", "OutcomeUnknown", "Unavailable")
    for place in (Place.BEFORE_EXECUTE, Place.AFTER_EXECUTE)
)


class Finding(StrEnum):
    """What a trial came to. NOTED is for what a person should know and nobody can call broken: an action that is not
    meant to be taken back, a place that is never reached.
    """

    HELD = "held"
    BROKEN = "broken"
    NOTED = "noted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A playbook in its file and the world that it is tried in (``module:Class``). `takes_values` says that there is
    something in it that a hostile value can stand for.
    """

    playbook: str
    file: Path
    world: str
    steps: int
    takes_values: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing that is tried with one playbook. `step` counts from 0, in the order of the file, the actions
    that are carried out when nothing disturbs.

    Draws of chance come from `seed` and from what the trial is, so that it goes the same way whatever ran before.
    """

    subject: Subject
    kind: Kind
    step: int = 0
    place: Place | None = None
    error: str = ""
    number: int = 0
    seed: int = 0

    def __str__(self) -> str:
        """What is tried, in words; no two trials of a playbook are called alike."""
        where = "" if self.place is None else self.place.value.replace("_", " ")
        of_step = f" (step {self.step + 1})"
        if self.kind is Kind.FAILS:
            return f"{self.error} {where}{of_step}"
        if self.kind is Kind.DIES:
            return f"dies {where}" + ("" if self.place is Place.BEFORE_VERIFY else of_step)
        return f"hostile values {self.number + 1}" if self.kind is Kind.FUZZED else _PLAIN[self.kind]

    @property
    def chance(self) -> random.Random:
        """Draws of chance of this trial alone."""
        return random.Random(f"{self.seed}/{self.subject.playbook}/{self}")  # noqa: S311 - a test that can be repeated


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a trial, and why. `deaths` counts the kills that were ordered and came."""

    trial: Trial
    finding: Finding
    why: str
    seconds: float
    deaths: int = 0


def trials(subject: Subject, *, seed: int = 0, quick: bool = False) -> tuple[Trial, ...]:
    """All that is tried with a playbook. `quick` tries every kind and every place, each at one step drawn by the seed."""
    draw = Trial(subject=subject, kind=Kind.HEALS, seed=seed).chance

    def at(steps: int) -> Sequence[int]:
        return [draw.randrange(steps)] if quick else range(steps)

    return tuple(
        replace(trial, seed=seed)
        for trial in (
            *(
                Trial(subject=subject, kind=kind)
                for kind in (Kind.HEALS, Kind.AGAIN, Kind.REPEATED, Kind.ROLLBACK)
            ),
            *_failures(subject, at),
            *_deaths(subject, at),
            *(
                Trial(subject=subject, kind=Kind.FUZZED, number=number)
                for number in range(_fuzz_cases(subject, quick=quick))
            ),
        )
    )


def _fuzz_cases(subject: Subject, *, quick: bool) -> int:
    if not subject.takes_values:
        return 0
    return QUICK_FUZZ_CASES if quick else FUZZ_CASES


def _failures(subject: Subject, at: Callable[[int], Sequence[int]]) -> Iterator[Trial]:
    for error, place in FAULTS:
        for step in at(subject.steps):
            yield Trial(subject=subject, kind=Kind.FAILS, step=step, place=place, error=error)


def _deaths(subject: Subject, at: Callable[[int], Sequence[int]]) -> Iterator[Trial]:
    for place in Place:
        if place is Place.BEFORE_VERIFY:
            yield Trial(subject=subject, kind=Kind.DIES, place=place)
            continue
        for step in at(subject.steps):
            yield Trial(subject=subject, kind=Kind.DIES, step=step, place=place)


def trials_of(
    playbook: str,
    *,
    file: Path | None = None,
    world: type[World] | str | None = None,
    seed: int = 0,
    quick: bool = False,
) -> tuple[Trial, ...]:
    """The trials of a playbook by name, for ``pytest.mark.parametrize(..., ids=str)``.

    By default the shipped one in the world that is installed for it; nothing is started. Raises as `subject_of`.
    """
    return trials(subject_of(playbook, file=file, world=world), seed=seed, quick=quick)


def subject_of(playbook: str, *, file: Path | None = None, world: type[World] | str | None = None) -> Subject:
    """Raises UnknownPlaybook for one that is in no file or has no world, InvalidPlaybook for one with mistakes."""
    if isinstance(world, type):
        world = f"{world.__module__}:{world.__qualname__}"
    if world is None:
        world = worlds().get(playbook)
    if world is None:
        raise UnknownPlaybook(
            f"there is no world to try the playbook {playbook!r} in",
            hint=f"Install one by the entry point group {GROUP}, or name it: --world MODULE:CLASS.",
        )
    files = shipped() if file is None else {playbook: file}
    if playbook not in files:
        raise UnknownPlaybook(f"no playbook {playbook!r} is shipped")
    read = read_playbook(files[playbook], known_operations(world))
    if read.name != playbook:
        raise UnknownPlaybook(f"{files[playbook]} holds the playbook {read.name!r}, not {playbook!r}")
    return Subject(
        playbook=playbook,
        file=files[playbook],
        world=world,
        steps=len(read.every_step),
        takes_values=bool(read.parameters) or any(step.params for step in read.every_step),
    )


def worlds() -> dict[str, str]:
    """The worlds that are installed (``module:Class``), by the name of their playbook. Loads none of them."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def shipped() -> dict[str, Path]:
    """The files of the starter library, by the name that each has, which is that of its playbook."""
    return {path.stem: path for path in files_in([shipped_folder()])}


def world_class(name: str) -> type[World]:
    """The class that ``module:Class`` names. Raises BadSettings where that is no world."""
    from importlib import import_module  # noqa: PLC0415 - loading a world may load what few people have

    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadSettings(f"the world {name!r} cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, World)):
        raise BadSettings(
            f"{name!r} is no World", hint="A world is a class below penelope.testing.worlds.World."
        )
    return found


def known_operations(world: str) -> Adapters:
    """What the installed adapters can do, and those that the world brings."""
    return {**operations(), **{name: kind.operations for name, kind in world_class(world).adapters.items()}}


def read_playbook(file: Path, adapters: Adapters) -> Playbook:
    """The playbook of a file. Raises InvalidPlaybook with every mistake."""
    read, problems = check(file, adapters)
    if read is None or problems:
        raise InvalidPlaybook("\n".join(map(str, problems)) or f"{file} holds no playbook")
    return read.playbook()
