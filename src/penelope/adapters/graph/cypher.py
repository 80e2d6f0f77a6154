"""Reads named queries, and admits only the Cypher that both stores were tested to answer alike.

What the checks are for: no query writes, builds its own text, walks without end or answers without end, and none
touches a thing whose classification is not allowed. They judge our own files, once, when they are loaded.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penelope.domain.graph_shape import EDGE_TYPES
from penelope.kit.canonical import Json

MOST_HOPS = 5
PARAMETER_KINDS = frozenset({"text", "folded", "depth", "moment", "limit", "many", "classifications"})
COLUMN_KINDS = frozenset({"text", "number", "moment", "json", "path", "things"})
GENERATION = "generation"
"""The parameter that the store binds itself: which of the graphs that it may hold is asked."""

_HEADER = re.compile(r"// (param|column) ([a-z_]+): ([a-z]+)")
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<parameter>\$[a-z_]+)
  | (?P<text>'[A-Za-z_]*')
  | (?P<number>[0-9]+)
  | (?P<word>[A-Za-z_]+)
  | (?P<mark><=|>=|<>|->|<-|\.\.|[-=<>()\[\]{}:,.|*])
    """,
    re.VERBOSE,
)
_CLAUSES = frozenset({"MATCH", "OPTIONAL", "WHERE", "WITH", "RETURN", "ORDER", "BY", "LIMIT", "UNWIND"})
_WORDS = _CLAUSES | frozenset(
    {
        "AS",
        "DISTINCT",
        "AND",
        "OR",
        "NOT",
        "IN",
        "CONTAINS",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "ASC",
        "DESC",
    }
)
_FUNCTIONS = frozenset({"all", "nodes", "length", "min", "max", "sum", "count", "coalesce"})
_RESERVED = frozenset(
    {
        "set",
        "delete",
        "detach",
        "merge",
        "create",
        "remove",
        "call",
        "load",
        "foreach",
        "drop",
        "yield",
        "union",
    }
)
_PROPERTIES = frozenset(
    {
        "id",
        "kind",
        "name",
        "classification",
        "status",
        "at",
        "properties",
        "folded",
        "place",
        "weight",
        "generation",
        "type",
        "start",
    }
)
_GUARDED_WALK = "all ( x IN nodes ( p ) WHERE x . classification IN allowed )"
_NODE = re.compile(r"\( ([a-z]+)(?: : Thing)?(?: \{ ([^}]*) \})? \)")
_ANCHOR = f"{GENERATION} : ${GENERATION}"
_HOPS = re.compile(r"\* (?:([0-9]+) \.\. ([0-9]+))?")
_DEEPEST_WALK = "..4]"
_ENDS_LIMITED = re.compile(r"LIMIT (?:\$limit|1)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """A query of the library. `parameters` and `columns` are kinds by name; `meaning` is a sentence for people."""

    name: str
    meaning: str
    text: str
    parameters: Mapping[str, str]
    columns: Mapping[str, str]

    def text_for(self, bound: Mapping[str, Json]) -> str:
        """The text to send: where a depth is asked for, the walk is bounded by it and not only its result."""
        depth = bound.get("depth")
        return self.text if depth is None else self.text.replace(_DEEPEST_WALK, f"..{int(depth)}]")


class NotAdmitted(Exception):
    """A query of the library that breaks the rules: a mistake of ours, found when it is loaded."""


def parse(name: str, source: str) -> NamedQuery:
    """The query of a file's text. Raises NotAdmitted naming every rule that it breaks."""
    lines = source.splitlines()
    header = [line for line in lines if line.startswith("//")]
    text = "\n".join(line for line in lines if not line.startswith("//"))
    found = [match.groups() for line in header[1:] if (match := _HEADER.fullmatch(line))]
    query = NamedQuery(
        name=name,
        meaning=header[0].removeprefix("// ") if header else "",
        text=text,
        parameters={word: kind for part, word, kind in found if part == "param"},
        columns={word: kind for part, word, kind in found if part == "column"},
    )
    flaws = [*_flaws_of_header(query, len(header) - 1 - len(found)), *_flaws_of_text(query)]
    if flaws:
        raise NotAdmitted(f"{name}: {'; '.join(flaws)}")
    return query


def _flaws_of_header(query: NamedQuery, unread: int) -> Iterator[str]:
    if unread or not query.meaning:
        yield "its header must be a sentence, then lines as '// param id: text' or '// column id: text'"
    if unknown := set(query.parameters.values()) - PARAMETER_KINDS:
        yield f"unknown kinds of parameters {sorted(unknown)}"
    if unknown := set(query.columns.values()) - COLUMN_KINDS:
        yield f"unknown kinds of columns {sorted(unknown)}"
    if query.parameters.get("allowed") != "classifications":
        yield "it does not take the classifications that are allowed"


def _flaws_of_text(query: NamedQuery) -> Iterator[str]:
    tokens, rest = _tokens(query.text)
    if rest:
        yield f"not admitted: {rest[:20]!r}"
        return
    plain = " ".join(word for _, word in tokens)
    yield from _flaws_of_words(tokens)
    yield from _flaws_of_parameters(query, tokens)
    yield from _flaws_of_bounds(plain)
    if "depth" in query.parameters and query.text.count(_DEEPEST_WALK) != 1:
        yield "what takes a depth must hold one walk of at most 4 hops"
    yield from _flaws_of_guards(plain)
    returned = re.findall(r"AS ([a-z_]+)", plain.rpartition("RETURN")[2])
    if returned != list(query.columns):
        yield f"it returns {returned}, and says {list(query.columns)}"


def _tokens(text: str) -> tuple[list[tuple[str, str]], str]:
    """Kind and text of each token, and what is left from where the text is none of them."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return tokens, text[at:]
        at = match.end()
        if match.lastgroup != "space":
            tokens.append((str(match.lastgroup), match[0]))
    return tokens, ""


def _flaws_of_words(tokens: list[tuple[str, str]]) -> Iterator[str]:
    words = ["", *(word for _, word in tokens), ""]
    aliases = {word for before, word in itertools.pairwise(words) if before == "AS"}
    for index, (kind, word) in enumerate(tokens, 1):
        if kind == "word" and not _fits(word, words[index - 1], words[index + 1], aliases):
            yield f"{word} is not in the tested subset"
    if aliases & _RESERVED:
        yield f"no alias may be a word of the language: {sorted(aliases & _RESERVED)}"


def _fits(word: str, before: str, after: str, aliases: set[str]) -> bool:
    """Whether a word is where it belongs. Cypher takes its own words in any case; here they are in capitals, so that
    what is in small letters is a name of ours: one letter, an alias, a property or a function.
    """
    if before == ".":
        return word in _PROPERTIES
    if before in {":", "|"}:
        return word == "Thing" or word in EDGE_TYPES
    if word.isupper():
        return word in _WORDS
    if after == "(":
        return word in _FUNCTIONS
    if after == ":":
        return word in _PROPERTIES or len(word) == 1
    return word.islower() and (len(word) == 1 or word in aliases)


def _flaws_of_parameters(query: NamedQuery, tokens: list[tuple[str, str]]) -> Iterator[str]:
    used = {word[1:] for kind, word in tokens if kind == "parameter"}
    declared = {*query.parameters, GENERATION}
    if used != declared:
        yield f"it declares {sorted(declared)} and uses {sorted(used)}"


def _flaws_of_bounds(plain: str) -> Iterator[str]:
    if not _ENDS_LIMITED.search(plain):
        yield "it must end with LIMIT $limit or LIMIT 1"
    # Of stars only those in patterns are hops: the subset knows no arithmetic.
    for match in _HOPS.finditer(plain):
        if match[2] is None or int(match[2]) > MOST_HOPS:
            yield f"a walk must be bounded, by at most {MOST_HOPS} hops"


def _flaws_of_guards(plain: str) -> Iterator[str]:
    """Every node that a pattern names is held against `$allowed`, by itself or as part of a walk; and every pattern
    hangs on nodes of the generation that is asked.
    """
    known: set[str] = set()
    for part in re.split(r"(?:OPTIONAL )?MATCH ", plain)[1:]:
        pattern, _, condition = part.partition(" WHERE ")
        condition = re.split(r" (?:WITH|RETURN|UNWIND) ", condition)[0]
        walk = pattern.startswith("p = ")
        if walk and (_GUARDED_WALK not in condition or not plain.startswith("WITH $allowed AS allowed ")):
            yield "a walk passes things that may not be allowed"
        if " OR " in condition or "NOT " in condition:
            yield "a condition of a pattern may not hold OR or NOT: a guard could be left out by it"
        nodes = _NODE.findall(pattern)
        if len(nodes) != pattern.count("("):
            yield "a node of a pattern must be written as (name:Thing)"
        if not any(name in known or _ANCHOR in inside for name, inside in nodes):
            yield "a pattern hangs on no node of its generation"
        for name, _ in nodes:
            if not walk and name not in known and f"{name} . classification IN $allowed" not in condition:
                yield f"{name} may be a thing that is not allowed"
            known.add(name)
