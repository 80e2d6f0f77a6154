"""What a graph may be made of, and what is wrong with one that is not."""

import re
from collections.abc import Iterator, Mapping, Sequence

from penelope.domain.graph import Edge, Node
from penelope.errors import InvalidQuery
from penelope.kit.canonical import Json, canonical

LABELS = frozenset(
    {
        "Service",
        "Team",
        "Person",
        "Dataset",
        "Metric",
        "Dashboard",
        "Runbook",
        "Document",
        "Incident",
        "Change",
        "Host",
    }
)
EDGE_TYPES = frozenset(
    {
        "DEPENDS_ON",
        "OWNED_BY",
        "MEMBER_OF",
        "DERIVED_FROM",
        "SHOWN_ON",
        "DESCRIBED_BY",
        "AFFECTS",
        "CHANGED",
        "RUNS_ON",
        "FITS",
    }
)

MOST_NODES = 200_000
MOST_EDGES = 1_000_000
LONGEST_TEXT = 512
"""Characters of an id or a name."""

LONGEST_PROPERTIES = 16 * 1024
"""Bytes of a node's or an edge's properties as JSON."""

_LATEST = 2**53 - 1
_NAMED_PROBLEMS = 50
# Control characters and lone surrogates: no store keeps all of them as they are.
_UNWELCOME = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def flaw_of(text: str) -> str:
    """What keeps a text from being an id or a name; empty where nothing does."""
    if not text or text != text.strip():
        return "is empty or has blanks around it"
    if len(text) > LONGEST_TEXT:
        return f"has more than {LONGEST_TEXT} characters"
    if _UNWELCOME.search(text):
        return "holds a control character or half of a surrogate pair"
    return ""


def check(nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
    """Raises InvalidQuery that names every problem (the first 50 of them) of nodes and edges that make no graph:
    unknown labels and types, ids that stand twice, edges that end nowhere, texts and properties that cannot be kept.
    """
    problems = list(_problems(nodes, edges))
    if not problems:
        return
    shown = problems[:_NAMED_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    raise InvalidQuery(
        "the graph cannot be kept:\n" + "\n".join(shown),
        hint="Correct the nodes and edges that the message names; docs/graph.md lists labels and types.",
    )


def _problems(nodes: Sequence[Node], edges: Sequence[Edge]) -> Iterator[str]:
    if len(nodes) > MOST_NODES or len(edges) > MOST_EDGES:
        yield f"more than {MOST_NODES} nodes or {MOST_EDGES} edges"
        return
    seen: set[str] = set()
    for node in nodes:
        yield from _problems_of_node(node)
        if node.id in seen:
            yield f"node {node.id!r}: its id stands here twice"
        seen.add(node.id)
    for edge in edges:
        where = f"edge {edge.type!r} from {edge.start!r} to {edge.end!r}"
        if edge.type not in EDGE_TYPES:
            yield f"{where}: unknown type"
        for end in {edge.start, edge.end} - seen:
            yield f"{where}: there is no node {end!r}"
        yield from (f"{where}: {flaw}" for flaw in _flaws_of_properties(edge.properties))


def _problems_of_node(node: Node) -> Iterator[str]:
    where = f"node {node.id!r}"
    if node.label not in LABELS:
        yield f"{where}: unknown label {node.label!r}"
    for what, text in (("id", node.id), ("name", node.name)):
        if flaw := flaw_of(text):
            yield f"{where}: its {what} {flaw}"
    yield from (f"{where}: {flaw}" for flaw in _flaws_of_properties(node.properties))
    moment = node.properties.get("at", 0)
    if isinstance(moment, bool) or not isinstance(moment, int) or not 0 <= moment <= _LATEST:
        yield f"{where}: 'at' must be whole seconds since 1970"
    status = node.properties.get("status", "")
    if not isinstance(status, str) or (status and flaw_of(status)):
        yield f"{where}: 'status' must be a word"


def _flaws_of_properties(properties: Mapping[str, Json]) -> Iterator[str]:
    if not properties:
        return
    try:
        if len(canonical(dict(properties))) > LONGEST_PROPERTIES:
            yield f"its properties are longer than {LONGEST_PROPERTIES} bytes of JSON"
    except (TypeError, ValueError, RecursionError):
        yield "its properties are no JSON"
