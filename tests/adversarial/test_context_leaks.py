"""Nothing that is masked, filtered or hidden is told to whoever may not see it: not in answers, errors, logs, metrics or caches.

`PENELOPE_LEAK_REQUESTS` says how many requests are made up; `.ci/extra` asks 100,000.
"""

import asyncio
import logging
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from leaking import (
    CITY,
    MAIL,
    MARK,
    OUTCRY,
    OWNER,
    Estate,
    concept,
    figure,
    furnish,
    may_hold,
    may_see,
    opened,
    subject,
)

from penelope.domain.access import Access, Subject
from penelope.domain.answer import Outcome, Told
from penelope.domain.concept import Request
from penelope.domain.degradation import Store
from penelope.entry.api import context_shown
from penelope.entry.api.problems import problem_of
from penelope.errors import AccessBroken, PenelopeError
from penelope.flow import sight, turn
from penelope.flow.answers import Answered
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.context import govern
from penelope.telemetry import Telemetry

REQUESTS = int(os.environ.get("PENELOPE_LEAK_REQUESTS", "1000"))
SEED = int(os.environ.get("PENELOPE_LEAK_SEED", "20261122"))
SLOW = 0.02
"""Of the manners so many are slow ones: each takes its whole time limit."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("leaks")
    furnish(made)
    return made


@dataclass
class Found:
    """What was told in all, and what leaked."""

    leaks: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    told_without_policy: int = 0


class Lines(logging.Handler):
    """All that is logged, also what is said of errors."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logged() -> Iterator[Lines]:
    lines, root = Lines(), logging.getLogger("penelope")
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(lines)
    try:
        yield lines
    finally:
        root.removeHandler(lines)
        root.setLevel(before)


def shown(told: Told) -> bytes:
    """What goes over HTTP."""
    try:
        return context_shown.told(Answered(id="ans_1", told=told)).model_dump_json().encode()
    except PenelopeError as error:
        problem = problem_of(error)
        return orjson.dumps([problem.detail, problem.hint, dict(problem.members)])


def figures(told: Told) -> Iterator[float]:
    for each in (told.value, told.compared):
        for row in each.table.rows if each is not None else ():
            yield from (float(cell) for cell in row if isinstance(cell, int | float))


@dataclass(frozen=True)
class Plan:
    """How many requests, which stores fail in them, how, and what is asked."""

    number: int
    seed: int
    failing: Sequence[Store | None] = (None, None, Store.SEMANTIC, Store.GRAPH, Store.VECTOR, Store.POLICY)
    manners: Sequence[str] = ("down", "flapping", "lying")
    asked: Callable[[random.Random], str] = concept


async def fuzz(estate: Estate, plan: Plan, lines: Lines) -> Found:
    chance, found = random.Random(plan.seed), Found()
    before: Request | None = None
    for _ in range(plan.number):
        store = chance.choice(plan.failing)
        manner = "slow" if chance.random() < SLOW else chance.choice(plan.manners)
        estate.fail(store, manner if store is not None else "")
        request = Request(
            concept=plan.asked(chance),
            subject=subject(chance),
            at=estate.resolver.clock.now(),
            execute=chance.random() < 0.8,
        )
        if before is not None and chance.random() < 0.3:
            # The same question by somebody else right after: whatever was kept must not answer it.
            request = replace(before, subject=request.subject)
        before = request
        lines.lines.clear()
        texts = []
        try:
            told = await estate.resolver.tell(request)
        except AccessBroken as error:
            found.outcomes["broken"] += 1
            texts += [str(error).encode(), repr(error).encode(), error.advice.encode()]
        else:
            found.outcomes[told.outcome.value] += 1
            texts += [canonical(to_data(told)), shown(told)]
            if not all(may_hold(request.subject, figure) for figure in figures(told)):
                found.leaks.append(f"{request.subject} {request.concept!r}: a sum of other regions")
            if store is Store.POLICY and manner in {"down", "lying", "slow"}:
                found.told_without_policy += told.outcome is not Outcome.DENIED or told.definition is not None
        texts += [line.encode() for line in lines.lines]
        said = set(MARK.findall(request.concept))
        for token in {token for text in texts for token in MARK.findall(text.decode())} - said:
            if may_see(request.subject, token):
                found.allowed[token] += 1
            else:
                found.leaks.append(f"{request.subject} {request.concept!r}, {store} {manner}: {token}")
    return found


def fuzzed(folder: Path, plan: Plan, lines: Lines) -> Found:
    async def run() -> Found:
        async with opened(folder, plan.seed) as estate:
            telemetry = Telemetry()
            estate.resolver.observer = telemetry
            found = await fuzz(estate, plan, lines)
            exposed = set(MARK.findall(telemetry.render().decode()))
            found.leaks += [f"metrics: {token}" for token in exposed]
            return found

    return asyncio.run(run())


def test_nothing_leaks(folder: Path, logged: Lines) -> None:
    found = fuzzed(folder, Plan(number=REQUESTS, seed=SEED), logged)
    print(
        f"\n{REQUESTS} requests, seed {SEED}: {dict(found.outcomes)}; marks seen by those who may: {len(found.allowed)}"
    )
    assert found.leaks == []
    assert found.told_without_policy == 0
    # It asks what can be answered, and sees marks where they may be seen: else it could not fail.
    assert all(found.outcomes[each] > REQUESTS / 100 for each in ("resolved", "denied", "unresolved"))
    assert found.outcomes["broken"]
    assert len(found.allowed) >= 12


# --- that it can fail ---------------------------------------------------------------------------------------


def _unmasked(patch: pytest.MonkeyPatch) -> None:
    real = govern.govern

    def without(query: Any, accesses: Any, reads: Any) -> Any:
        return real(query, {name: replace(each, masks={}) for name, each in accesses.items()}, reads)

    patch.setattr(turn, "govern", without)


def _unfiltered(patch: pytest.MonkeyPatch) -> None:
    real = govern.govern

    def without(query: Any, accesses: Any, reads: Any) -> Any:
        return real(query, {name: replace(each, row_filters=()) for name, each in accesses.items()}, reads)

    patch.setattr(turn, "govern", without)


def _unchecked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn, "checked", lambda table, _: table)


def _unhidden(patch: pytest.MonkeyPatch) -> None:
    """Things, passages and choices as they were found."""
    patch.setattr(turn, "visible", lambda found, _: list(found))
    patch.setattr(turn, "visible_rows", lambda rows, *_: list(rows))


def _one_cache_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn, "canonical", lambda key: repr((key[0]["measures"], key[0]["dimensions"])).encode())


def _whole_registry(patch: pytest.MonkeyPatch) -> None:
    """Nobody's definitions are left out, and none is judged when it is told."""

    async def seen(self: Any, _: Any) -> Any:
        return self._registry, True

    async def candidates(_: Any, found: Any) -> Any:
        return tuple(found)

    patch.setattr(sight.Sights, "seen", seen)
    patch.setattr(turn.Turn, "candidates", candidates)


def _allowing(patch: pytest.MonkeyPatch) -> None:
    """A policy that could not be asked is a yes."""
    real = turn.Turn.judged

    async def judged(self: Any, verb: Any, assets: Any) -> Any:
        return [Access(allow=True) if each.failed else each for each in await real(self, verb, assets)]

    patch.setattr(turn.Turn, "judged", judged)


def _crying(patch: pytest.MonkeyPatch) -> None:
    """What a store says of its trouble is told."""
    real = turn.Turn.missed

    def missed(self: Any, store: Any) -> None:
        logging.getLogger("penelope.flow").warning("a store is missed: %s", sys.exception())
        real(self, store)

    patch.setattr(turn.Turn, "missed", missed)


_ANY: dict[str, Any] = {}
_FIGURES = {"failing": [None], "asked": figure}
MISTAKES: dict[Callable[[pytest.MonkeyPatch], None], dict[str, Any]] = {
    _unmasked: _FIGURES,
    _unfiltered: _FIGURES,
    _unchecked: {"failing": [Store.SEMANTIC], "manners": ["lying"], "asked": figure},
    _unhidden: _ANY,
    _one_cache_for_all: {"failing": [None, Store.SEMANTIC], "manners": ["down"], "asked": figure},
    _whole_registry: _ANY,
    _allowing: {"failing": [Store.POLICY]},
    _crying: _ANY,
}
"""Each with what is asked to find it soon."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_caught(
    folder: Path,
    logged: Lines,
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mistake(monkeypatch)
    found = Found()
    for part in range(20):
        plan = Plan(number=100, seed=SEED + part, **MISTAKES[mistake])
        found = fuzzed(folder, plan, logged)
        if found.leaks or found.told_without_policy:
            break
    assert found.leaks or found.told_without_policy
    if mistake is _crying:
        assert any(OUTCRY in leak for leak in found.leaks)


def test_what_is_hidden_changes_nothing_that_is_told(tmp_path: Path) -> None:
    """The same questions of an estate without what is restricted: byte for byte the same answers."""
    chance = random.Random(SEED)
    asked = [(concept(chance), subject(chance)) for _ in range(300)]
    asked = [(text, who) for text, who in asked if who.actor != OWNER]

    async def told() -> list[bytes]:
        async with opened(place, SEED, timeout_seconds=30) as estate:
            answers = []
            for text, who in asked:
                request = Request(concept=text, subject=who, at=estate.resolver.clock.now(), execute=True)
                answers.append(canonical(_lasting(await estate.resolver.tell(request))))
            return answers

    answers = []
    for bare in (False, True):
        # At the same place: documents are named by where they lie.
        place = tmp_path / "estate"
        place.mkdir()
        furnish(place, bare=bare)
        answers.append(asyncio.run(told()))
        shutil.rmtree(place)
    with_it, without_it = answers
    different = [
        asked[place] for place, pair in enumerate(zip(with_it, without_it, strict=True)) if pair[0] != pair[1]
    ]
    assert different == []


def _lasting(told: Told) -> Any:
    """Without the moments of the warehouse's file, which are not the same for two."""
    data = to_data(told)
    for name in ("value", "compared"):
        if data[name] is not None:
            data[name]["table"].pop("as_of")
    for passage in data["passages"]:
        passage["document"].pop("changed_at")
    return data


def test_subjects_of_the_oracle_see_what_the_policy_says() -> None:
    admin = Subject(actor="a", role="admin")
    assert may_see(admin, MAIL["EMEA"])
    assert not may_see(replace(admin, purpose="marketing"), MAIL["EMEA"])
    assert not may_see(Subject(actor="a", role="analyst", region="APAC"), CITY["EMEA"])
