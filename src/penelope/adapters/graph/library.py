"""The named queries that ship, and what they are asked with and answer."""

import functools
import unicodedata
from collections.abc import Callable, Mapping
from importlib import resources

from penelope.adapters.graph.cypher import GENERATION, NamedQuery, parse
from penelope.adapters.yaml_model import suggestion
from penelope.domain.access import Classification
from penelope.domain.graph_shape import LONGEST_TEXT
from penelope.errors import InvalidQuery
from penelope.kit.canonical import Json

MOST_ROWS = 1000
MANY_ROWS = 20_000
"""Of short rows that are read once for many questions."""

USUAL_ROWS = 200
DEEPEST = 4

_LATEST = 2**53 - 1
_KNOWN = frozenset(Classification)
_NOTHING = ("",)
"""In place of no classification at all, for one store cannot tell the type of an empty list. It fits no thing."""


def folded(text: str) -> str:
    """The text as names are compared: compatible forms and cases made one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@functools.cache
def library() -> Mapping[str, NamedQuery]:
    """All queries by name, checked. Raises NotAdmitted for one that breaks the rules of `cypher`."""
    folder = resources.files("penelope.adapters.graph") / "queries"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".cypher")), key=lambda f: f.name)
    names = [file.name.removesuffix(".cypher") for file in files]
    return {
        name: parse(name, file.read_text(encoding="utf-8")) for name, file in zip(names, files, strict=True)
    }


def bind(name: str, parameters: Mapping[str, Json]) -> tuple[NamedQuery, dict[str, Json]]:
    """A query and its parameters as stores take them, all but the generation.

    `limit` is 200 and `depth` 4 where they are not given. Raises InvalidQuery that names every mistake.
    """
    known = library()
    query = known.get(name)
    if query is None:
        raise InvalidQuery(
            f"there is no query {name[:80]!r} of the graph{suggestion(name[:80], known)}",
            hint="List them with `penelope context graph`.",
        )
    given = {"limit": USUAL_ROWS, "depth": DEEPEST, **parameters}
    surplus = sorted(str(word)[:80] for word in parameters if word not in query.parameters)
    problems = [f"it takes no '{word}'" for word in surplus]
    bound: dict[str, Json] = {}
    for word, kind in query.parameters.items():
        if word not in given:
            problems.append(f"'{word}' is missing")
            continue
        try:
            bound[word] = _KINDS[kind](given[word])
        except ValueError as error:
            problems.append(f"'{word}' {error}")
    if problems:
        raise InvalidQuery(
            f"{name}: {'; '.join(problems)}", hint="docs/graph.md lists queries and parameters."
        )
    return query, bound


def with_generation(bound: Mapping[str, Json], generation: str) -> dict[str, Json]:
    return {**bound, GENERATION: generation}


def _text(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"has more than {LONGEST_TEXT} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds a zero character or half of a surrogate pair")
    return value


def _folded(value: Json) -> str:
    return folded(_text(value)) or "\1"  # what folds to nothing is in no name


def _whole(value: Json, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"must be a whole number of {least} to {most}")
    return value


def _classifications(value: Json) -> list[str]:
    several = isinstance(value, list | tuple | set | frozenset)
    words = {item if isinstance(item, str) else "" for item in value} if several else {""}
    if not words <= _KNOWN:
        raise ValueError(f"must be a list of classifications, of {', '.join(Classification)}")
    return sorted(map(str, words)) or list(_NOTHING)


_KINDS: Mapping[str, Callable[[Json], Json]] = {
    "text": _text,
    "folded": _folded,
    "depth": lambda value: _whole(value, 1, DEEPEST),
    "moment": lambda value: _whole(value, 0, _LATEST),
    "limit": lambda value: _whole(value, 1, MOST_ROWS),
    "many": lambda value: _whole(value, 1, MANY_ROWS),
    "classifications": _classifications,
}
