"""All definitions that a concept can mean, and how they are found by words: exactly, in part, or misspelt."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from penelope.domain.concept import Correction, Definition
from penelope.rooms.context.intents import FILLING
from penelope.rooms.context.words import words_of

Stems = tuple[str, ...]
Numbers = NDArray[np.int64]
_NONE: Numbers = np.zeros(0, dtype=np.int64)

MOST_DEFINITIONS = 100_000
"""Definitions of one registry."""

LONGEST_PHRASE = 12
"""Words of a name; longer ones are found in part only."""

_RAREST, _MOST_SHARING = 4, 400
"""Of a question's words so many, the rarest, are followed to names that hold them, each to at most so many names."""

_SHORTEST_TYPO, _LONGEST_TYPO = 6, 32
"""Letters of words whose misspelling is recognised: shorter ones are too like each other."""

TITLE, SYNONYM = 1.0, 0.97
"""How well a name names: a title is clearer than a synonym."""


class BadRegistry(ValueError):
    """Definitions that cannot stand beside each other, and why."""


@dataclass(frozen=True, slots=True)
class Naming:
    """One name of a definition, in stems, and how well it names."""

    name: str
    phrase: Stems
    weight: float


@dataclass(frozen=True, slots=True)
class Shared:
    """A naming, and of its words those that tell something, with their weight."""

    naming: Naming
    telling: Mapping[str, float]
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Names that share words with a question, each at its place: its number in `shared`, the share of its weight that was
    said, how well it names, and which of the words it holds, a bit for each.
    """

    shared: Sequence[Shared]
    numbers: Numbers
    shares: NDArray[np.float64]
    weights: NDArray[np.float64]
    held: Numbers


class Registry:
    """A value: nothing in it changes once it is built. Look-ups take time by the words asked, hardly by its size."""

    def __init__(
        self,
        definitions: Iterable[Definition],
        *,
        joins: Mapping[str, Sequence[str]] | None = None,
        corrections: Iterable[Correction] = (),
        times: Mapping[str, str] | None = None,
    ) -> None:
        """`joins` are the cubes that a cube joins directly, `times` the time dimension by which a cube, or one
        measure, is asked.

        Raises BadRegistry where a name stands twice, or where there are too many.
        """
        self.definitions: dict[str, Definition] = {}
        for definition in definitions:
            if self.definitions.setdefault(definition.name, definition) is not definition:
                raise BadRegistry(f"{definition.name} is defined twice")
        if len(self.definitions) > MOST_DEFINITIONS:
            raise BadRegistry(f"there are more than {MOST_DEFINITIONS} definitions")
        self.times = {cube: name for cube, name in (times or {}).items() if name in self.definitions}
        self._joins, self._corrections = dict(joins or {}), tuple(corrections)
        cubes = {definition.cube for definition in self.definitions.values()}
        self._reach = {
            cube: {other: steps for other, steps in near.items() if other in cubes}
            for cube, near in _closure(self._joins).items()
        }
        self._around: dict[str, frozenset[str]] = {}
        self._taught = _taught(item for item in self._corrections if item.name in self.definitions)
        self._words: dict[str, frozenset[str]] = {}
        self._namings: dict[Stems, tuple[Naming, ...]] = {}
        self._values: dict[Stems, tuple[tuple[str, str], ...]] = {}
        sharing = self._index()
        self._weights = self._weigh()
        self._shared, self._sharing = self._share(sharing)
        self._wholes = np.array([item.whole or 1.0 for item in self._shared])
        self._naming_weights = np.array([item.naming.weight for item in self._shared])
        self._telling = _numbers(
            (stem, number) for number, item in enumerate(self._shared) for stem in item.telling
        )
        self._typos = _typos(self._weights)

    def without(self, hidden: Collection[str], unread: Collection[str] = ()) -> "Registry":
        """The registry of somebody who may not know of those definitions: none of their words, values and names is known in
        it. Of those that are `unread` only names and owner are. It is built anew, which takes some 60 us a definition:
        keep it for all who may know the same.
        """
        if self.definitions.keys().isdisjoint((*hidden, *unread)):
            return self
        return Registry(
            (
                name_alone(item) if item.name in unread else item
                for item in self.definitions.values()
                if item.name not in hidden
            ),
            joins=self._joins,
            corrections=self._corrections,
            times=self.times,
        )

    # --- look-ups -------------------------------------------------------------------------------------------

    def get(self, name: str) -> Definition | None:
        return self.definitions.get(name)

    def reach(self, cube: str) -> Mapping[str, int]:
        """The cubes that a question to a cube can be cut and filtered by, and how many joins away each is."""
        return self._reach.get(cube) or {cube: 0}

    def around(self, cube: str) -> frozenset[str]:
        """The words in the names of the cubes that a question to this one reaches."""
        known = self._around.get(cube)
        if known is None:
            # Worked out when it is first asked for: the same whoever asks first.
            known = self._around[cube] = frozenset(
                stem for other in self.reach(cube) for stem in stems_of(other)
            )
        return known

    def time_of(self, definition: Definition) -> str:
        """The time dimension by which a definition is asked; empty where there is none, or none of several is marked."""
        return self.times.get(definition.name) or self.times.get(definition.cube, "")

    def named(self, phrase: Stems) -> tuple[Naming, ...]:
        """The definitions that bear exactly that name. What a person has taught stands alone."""
        taught = self._taught.get(phrase)
        if taught is not None:
            return (Naming(taught, phrase, TITLE),)
        return self._namings.get(phrase, ())

    def valued(self, phrase: Stems) -> tuple[tuple[str, str], ...]:
        """Pairs of a dimension and one of its values that bear exactly that name."""
        return self._values.get(phrase, ())

    def sharing(self, stems: Sequence[str], least: float) -> "Sharing":
        """Names that share words with those different ones, by way of the rarest of them, and at least so much of their weight."""
        known = sorted((len(self._sharing[stem]), stem) for stem in stems if stem in self._sharing)
        told = np.zeros(len(self._shared))
        held = np.zeros(len(self._shared), dtype=np.int64)
        for bit, stem in enumerate(stems):
            if stem in self._telling:
                told[self._telling[stem]] += self.weight(stem)
                held[self._telling[stem]] |= 1 << bit
        reached = np.concatenate([_NONE, *(self._sharing[stem] for _, stem in known[:_RAREST])])
        # Each once, where it came first.
        reached = reached[np.sort(np.unique(reached, return_index=True)[1])]
        shares = told[reached] / self._wholes[reached]
        enough = reached[shares >= least]
        return Sharing(
            shared=self._shared,
            numbers=enough,
            shares=shares[shares >= least],
            weights=self._naming_weights[enough],
            held=held[enough],
        )

    def headed(self, stem: str) -> tuple[Naming, ...]:
        """Names that end with that word, as "traffic source" does with "source"."""
        shared = [self._shared[number] for number in self._sharing.get(stem, ())]
        return tuple(item.naming for item in shared if item.naming.phrase[-1] == stem)

    def weight(self, stem: str) -> float:
        """How much a word tells, 0…1: 1 where few names or none have it."""
        return self._weights.get(stem, 1.0)

    def knows(self, stem: str) -> bool:
        return stem in self._weights

    def spelt(self, stem: str) -> str | None:
        """The one known word that it is a misspelling of: one letter more, less, other, or two swapped."""
        if not _SHORTEST_TYPO <= len(stem) <= _LONGEST_TYPO or not stem.isalpha():
            return None
        found = {
            known
            for key in (stem, *_without_one(stem))
            for known in self._typos.get(key, ())
            if _near(stem, known)
        }
        return found.pop() if len(found) == 1 else None

    def words(self, name: str) -> frozenset[str]:
        """All words that a definition is told by: its names, its description, its cube and its kind."""
        return self._words[name]

    # --- building -------------------------------------------------------------------------------------------

    def _index(self) -> Mapping[str, Sequence[Naming]]:
        """Fills the look-ups by whole names, and gives the names by each of their words."""
        namings: defaultdict[Stems, dict[str, Naming]] = defaultdict(dict)
        values: defaultdict[Stems, dict[tuple[str, str], None]] = defaultdict(dict)
        sharing: defaultdict[str, list[Naming]] = defaultdict(list)
        for definition in self.definitions.values():
            told = {stem for stem in stems_of(definition.description) if len(stem) > 3}
            told.update(stems_of(definition.cube), stems_of(definition.kind.value))
            for naming in _names(definition):
                told.update(naming.phrase)
                if len(naming.phrase) <= LONGEST_PHRASE:
                    namings[naming.phrase].setdefault(naming.name, naming)
                # What was taught stands alone: nothing else is found by a name that is just these words.
                if self._taught.get(naming.phrase, naming.name) == naming.name:
                    for stem in set(naming.phrase):
                        sharing[stem].append(naming)
            for value, synonyms in definition.values.items():
                for text in (value, *synonyms):
                    phrase = stems_of(text)
                    if 0 < len(phrase) <= LONGEST_PHRASE:
                        values[phrase].setdefault((definition.name, value))
            self._words[definition.name] = frozenset(told)
        self._namings = {phrase: tuple(found.values()) for phrase, found in namings.items()}
        self._values = {phrase: tuple(found) for phrase, found in values.items()}
        return sharing

    def _share(self, sharing: Mapping[str, Sequence[Naming]]) -> tuple[list[Shared], dict[str, Numbers]]:
        """The names that are found by a word of theirs and, by each word, their numbers in that list."""
        made: dict[Naming, int] = {}
        shared: list[Shared] = []
        for namings in sharing.values():
            for naming in namings[:_MOST_SHARING]:
                if naming not in made:
                    made[naming] = len(shared)
                    telling = {stem: self.weight(stem) for stem in naming.phrase if stem not in FILLING}
                    shared.append(Shared(naming, telling, sum(telling.values())))
        return shared, _numbers(
            (stem, made[naming]) for stem, namings in sharing.items() for naming in namings[:_MOST_SHARING]
        )

    def _weigh(self) -> dict[str, float]:
        """Weights by how many definitions are told by a word; words of values and of what was taught are known, too."""
        count = Counter(stem for told in self._words.values() for stem in told)
        for phrase in (*self._values, *self._taught):
            count.update(dict.fromkeys(phrase, 0))
        whole = log(len(self.definitions) + 1) or 1.0
        return {stem: max(0.25, 1 - log(max(1, number)) / whole) for stem, number in count.items()}


def _numbers(pairs: Iterable[tuple[str, int]]) -> dict[str, Numbers]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for stem, number in pairs:
        found[stem].append(number)
    return {stem: np.array(numbers, dtype=np.int64) for stem, numbers in found.items()}


def name_alone(definition: Definition) -> Definition:
    """What is left of a definition for somebody who may know of it and not read it: names, owner and standing."""
    return replace(definition, description="", unit="", version="", values={})


def stems_of(text: str) -> Stems:
    return tuple(word.stem for word in words_of(text))


def _names(definition: Definition) -> Iterator[Naming]:
    bare = definition.name.partition(":")[2] or definition.name
    for text, weight in (
        (bare, TITLE),
        (definition.title, TITLE),
        *((synonym, SYNONYM) for synonym in definition.synonyms),
    ):
        phrase = stems_of(text)
        if phrase:
            yield Naming(definition.name, phrase, weight)


def _taught(corrections: Iterable[Correction]) -> dict[Stems, str]:
    """What people have taught, the latest last, so that it stands."""
    return {
        phrase: correction.name
        for correction in sorted(corrections, key=lambda item: item.at)
        if (phrase := stems_of(correction.phrase)) and len(phrase) <= LONGEST_PHRASE
    }


def _closure(joins: Mapping[str, Sequence[str]]) -> dict[str, dict[str, int]]:
    """How many joins lead from a cube to each that it can be asked with."""
    reach: dict[str, dict[str, int]] = {}
    for cube in joins:
        distance, waiting = {cube: 0}, [cube]
        for near in waiting:
            for other in joins.get(near, ()):
                if other not in distance:
                    distance[other] = distance[near] + 1
                    waiting.append(other)
        reach[cube] = distance
    return reach


def _typos(known: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Words by what they are with one letter left out: two words that are one letter apart meet there."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for stem in known:
        if _SHORTEST_TYPO - 1 <= len(stem) <= _LONGEST_TYPO and stem.isalpha():
            for key in (stem, *_without_one(stem)):
                found[key].append(stem)
    return {key: tuple(stems) for key, stems in found.items()}


def _without_one(stem: str) -> set[str]:
    return {stem[:at] + stem[at + 1 :] for at in range(len(stem))}


def _near(one: str, other: str) -> bool:
    """Whether one letter was added, left out, changed, or swapped with the next. The first letter is hardly ever wrong."""
    if one == other or one[0] != other[0]:
        return False
    first = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    if first is None:
        return abs(len(one) - len(other)) == 1
    if len(one) == len(other):
        swapped = (
            one[first : first + 2] == other[first : first + 2][::-1]
            and one[first + 2 :] == other[first + 2 :]
        )
        return swapped or one[first + 1 :] == other[first + 1 :]
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer[first + 1 :] == shorter[first:]
