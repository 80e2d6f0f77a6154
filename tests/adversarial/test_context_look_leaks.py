"""Looks tell nothing that their asker may not see, and their entries in the ledger hold no content, whoever asks.

`PENELOPE_LEAK_LOOKS` says how many are made up.
"""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from leaking import (
    _KNOWN,
    CITY,
    CONFIDENTIAL_VALUE,
    CONFIDENTIAL_WORDS,
    MAIL,
    MARK,
    NODE,
    NOTE,
    OUTCRY,
    PURPOSES,
    RESTRICTED_VALUE,
    TEXT,
    Estate,
    concept,
    furnish,
    may_see,
    opened,
    subject,
)

from penelope.domain.access import Subject
from penelope.domain.concept import Request
from penelope.domain.degradation import Store
from penelope.domain.work import Change
from penelope.entry.api.problems import problem_of
from penelope.errors import PenelopeError
from penelope.flow import looking_up, looks, turn
from penelope.flow.looking_up import LookUp, Wanted
from penelope.flow.looks import Looks
from penelope.kit.canonical import Json, canonical
from penelope.kit.codec import to_data

NUMBER = int(os.environ.get("PENELOPE_LEAK_LOOKS", "400"))
SEED = 20261123
CONTENT = {*CITY.values(), *MAIL.values(), *NOTE.values(), *TEXT.values()} | {
    CONFIDENTIAL_VALUE,
    CONFIDENTIAL_WORDS,
    RESTRICTED_VALUE,
    OUTCRY,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("looks")
    furnish(made)
    return made


class Fuzzed:
    """Looks that were made up, what leaked of them, and what was told."""

    def __init__(self, estate: Estate, seed: int) -> None:
        self.leaks: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.seen: set[str] = set()
        self._estate = estate
        self._chance = random.Random(seed)
        self._saved: list[Change] = []
        self._looks = Looks(LookUp(estate.resolver), self._save)
        self._names: list[str] = []

    async def _save(self, change: Change) -> None:
        self._saved.append(change)

    async def run(self, number: int) -> None:
        known = await self._estate.resolver.definitions(
            Request(concept="", subject=subject(self._chance), at=self._estate.resolver.clock.now()),
            seconds=2,
        )
        self._names = sorted(known[1].definitions)
        for _ in range(number):
            await self._one()

    async def _one(self) -> None:
        chance, asker = self._chance, subject(self._chance)
        store = chance.choice((None, None, Store.SEMANTIC, Store.GRAPH, Store.VECTOR, Store.POLICY))
        self._estate.fail(store, chance.choice(("down", "flapping", "lying")) if store is not None else "")
        asked = Request(concept=concept(chance), subject=asker, at=self._estate.resolver.clock.now())
        name = chance.choice(self._names)
        look = chance.choice(
            (
                lambda: self._looks.search(asked, (), 5),
                lambda: self._looks.definitions(asker, Wanted()),
                lambda: self._looks.definition(asker, name),
                lambda: self._looks.lineage(asker, name, 4),
                lambda: self._looks.explained(asked),
            )
        )
        try:
            told = to_data((await look()).found)
        except PenelopeError as error:
            problem = problem_of(error)
            told = [problem.detail, problem.hint, dict(problem.members)]
        said = {*MARK.findall(asked.concept), *MARK.findall(name)}
        (change,) = self._saved
        self._saved.clear()
        self.outcomes[change.status] += 1
        told_marks = {*MARK.findall(canonical(told).decode())} - said
        kept_marks = {*MARK.findall(canonical(to_data(change)).decode())}
        self.seen |= told_marks
        self.leaks += [
            f"told {asker} {change.attributes['about']} {store} {name} {asked.concept!r}: {mark}"
            for mark in told_marks
            if not (may_see(asker, mark) or may_know(asker, mark, change.attributes["about"]))
        ]
        self.leaks += [f"kept of {asker}: {mark}" for mark in kept_marks & CONTENT]
        self.leaks += [f"kept and not told: {mark}" for mark in kept_marks - told_marks - said]
        if len(canonical(change.attributes)) > 8_000:
            self.leaks.append("an entry is large")


def may_know(asker: Subject, mark: str, about: Json) -> bool:
    """Who may know of a thing finds its name in the list, though they may not read it. By the words of
    docs/context-policy.md.
    """
    of = {name: classification.value for classification, name in NODE.items()}.get(mark)
    return about == "assets" and of in _KNOWN.get(asker.role, "").split() and asker.purpose in PURPOSES[:-1]


def fuzzed(folder: Path, number: int) -> Fuzzed:
    async def run() -> Fuzzed:
        async with opened(folder, SEED) as estate:
            found = Fuzzed(estate, SEED)
            await found.run(number)
            return found

    return asyncio.run(run())


def test_no_look_leaks_and_no_entry_holds_content(folder: Path) -> None:
    found = fuzzed(folder, NUMBER)
    print(
        f"\n{NUMBER} looks, seed {SEED}: {dict(found.outcomes)}; {len(found.seen)} marks seen by those who may"
    )
    assert found.leaks == []
    for outcome in ("found", "nothing", "unknown_concept", "denied"):
        assert found.outcomes[outcome] > NUMBER / 100, outcome
    assert len(found.seen & CONTENT) > 3


def _unhidden(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn, "visible", lambda found, _: list(found))
    patch.setattr(turn, "visible_rows", lambda rows, *_: list(rows))


def _unjudged(patch: pytest.MonkeyPatch) -> None:
    async def registry(self: Any, turn: Any) -> Any:
        return (await self._resolver.known(turn)).registry.definitions

    async def shown(_: Any, __: Any, found: Any, ___: Any) -> Any:
        return tuple(found)

    patch.setattr(looking_up.LookUp, "_registry", registry)
    patch.setattr(turn.Turn, "shown", shown)


def _whole(patch: pytest.MonkeyPatch) -> None:
    """What was told stands in the entry itself."""
    patch.setattr(looks, "_digest", lambda value: canonical(value).decode())


@pytest.mark.parametrize("breaking", [_unhidden, _unjudged, _whole])
def test_looks_that_leak_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch, breaking: Any) -> None:
    breaking(monkeypatch)
    assert fuzzed(folder, NUMBER // 2).leaks
