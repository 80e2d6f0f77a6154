"""Which action is which, from one story of a playbook to the next, and what each of them did."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

_PLACEHOLDER = re.compile(r"\$\{[a-z][a-z0-9_]*\}")


class Course:
    """The actions of one story by their place: that of the same name in a story that was told before, for branches side
    by side begin in any order. What bears another name, for a value stands in it, takes the first place that is free.
    """

    def __init__(self, known: Iterable[str]) -> None:
        """`known` are the names of a story before this one, by place."""
        self._known = tuple(re.compile(re.escape(name)) for name in known)
        self._places: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._deeds: dict[int, tuple[int, float]] = {}

    @classmethod
    def first(cls, templates: Sequence[str]) -> Self:
        """For a story that none was told before: by the names as they are written in the playbook."""
        made = cls(())
        pieces = (map(re.escape, _PLACEHOLDER.split(name)) for name in templates)
        made._known = tuple(re.compile(".*".join(each), re.DOTALL) for each in pieces)
        return made

    def place(self, key: str, name: str) -> int:
        """The place of an action, from 0 on; always the same for a key."""
        if key not in self._places:
            taken = set(self._places.values())
            free = [place for place in range(len(self._known) + len(taken) + 1) if place not in taken]
            same = (
                place for place in free if place < len(self._known) and self._known[place].fullmatch(name)
            )
            # A name with a value in it may be any: what says more of the name goes before it, whoever begins first.
            telling = max(same, key=lambda place: len(self._known[place].pattern), default=free[0])
            self._places[key], self._names[key] = telling, name
        return self._places[key]

    def done(self, place: int, events: int, seconds: float) -> None:
        """Keeps what an execution did outside and how long it took; the first one of an action counts."""
        self._deeds.setdefault(place, (events, seconds))

    @property
    def keys(self) -> Mapping[str, str]:
        """The names of the actions by their keys, in the order in which they began."""
        return self._names

    @property
    def names(self) -> tuple[str, ...]:
        """The names by place."""
        return tuple(self._names[key] for key in sorted(self._places, key=self._places.__getitem__))

    @property
    def events(self) -> tuple[int, ...]:
        """What `done` was told, by place; 0 for what was never done."""
        return tuple(self._deeds.get(place, (0, 0.0))[0] for place in self._in_order())

    @property
    def seconds(self) -> tuple[float, ...]:
        """As `events`."""
        return tuple(self._deeds.get(place, (0, 0.0))[1] for place in self._in_order())

    def _in_order(self) -> Iterable[int]:
        return sorted(self._places.values())
