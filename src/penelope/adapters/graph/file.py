"""Reads a graph that people wrote: one YAML file, checked whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from penelope.adapters.yaml_model import Part, validate
from penelope.adapters.yaml_source import Document, Problem, Where, read
from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import EDGE_TYPES, LABELS, check, flaw_of
from penelope.errors import InvalidCatalogue, InvalidQuery
from penelope.kit.canonical import Json

_HINT = "Correct the file; docs/graph.md shows its shape, and lists labels and types."
_MOST = 20_000


def _sound(text: str) -> str:
    if flaw := flaw_of(text):
        raise PydanticCustomError("text", "{flaw}", {"flaw": flaw})
    return text


def _label(text: str) -> str:
    if text not in LABELS:
        raise PydanticCustomError("label", "must be one of {known}", {"known": ", ".join(sorted(LABELS))})
    return text


def _edge_type(text: str) -> str:
    if text not in EDGE_TYPES:
        raise PydanticCustomError("type", "must be one of {known}", {"known": ", ".join(sorted(EDGE_TYPES))})
    return text


_Text = Annotated[str, AfterValidator(_sound)]


class NodeRule(Part):
    """A thing."""

    label: Annotated[str, AfterValidator(_label)]
    """Its kind, as `Service`."""

    name: _Text
    """What people call it."""

    classification: Literal["public", "internal", "confidential", "restricted", "pii"] = "internal"
    """How much harm it does where others know of it."""

    properties: dict[str, Any] = Field(default_factory=dict)
    """Whatever else is known: `status` (`failing`, or `open` for an incident), `at` in seconds since 1970, and more."""


class GraphFile(Part):
    """A graph of services, teams, data and documents."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this format."""

    kind: Literal["ServiceGraph"]
    """What the file holds."""

    nodes: Annotated[dict[_Text, NodeRule], Field(max_length=_MOST)]
    """The things by their ids, as `service:checkout`."""

    edges: dict[Annotated[str, AfterValidator(_edge_type)], dict[str, list[str]]] = Field(
        default_factory=dict
    )
    """What they have to do with each other: by type, and by the id of where they start, the ids of where they end."""


def load_graph(path: Path) -> tuple[list[Node], list[Edge]]:
    """The nodes and edges of a file. Raises InvalidCatalogue that names ``file:line:column`` of every mistake."""
    document = read(path)
    content, problems = validate(document, GraphFile)
    nodes: list[Node] = []
    edges: list[Edge] = []
    if content is not None:
        nodes = [_node(identifier, rule) for identifier, rule in content.nodes.items()]
        edges = [edge for edge, _ in _edges(content)]
        problems = [*_problems(document, content)]
    if problems:
        raise InvalidCatalogue("\n".join(map(str, sorted(problems))), hint=_HINT)
    return nodes, edges


def _node(identifier: str, rule: NodeRule) -> Node:
    properties: dict[str, Json] = rule.properties
    return Node(
        id=identifier,
        label=rule.label,
        name=rule.name,
        classification=Classification(rule.classification),
        properties=properties,
    )


def _edges(content: GraphFile) -> Iterator[tuple[Edge, Where]]:
    for kind, starts in content.edges.items():
        for start, ends in starts.items():
            for index, end in enumerate(ends):
                yield Edge(type=kind, start=start, end=end), ("edges", kind, start, index)


def _problems(document: Document, content: GraphFile) -> Iterator[Problem]:
    for identifier, rule in content.nodes.items():
        try:
            check([_node(identifier, rule)], [])
        except InvalidQuery as error:
            for flaw in error.message.splitlines()[1:]:
                yield document.problem(("nodes", identifier), flaw, at_key=True)
    for kind, starts in content.edges.items():
        for start in starts.keys() - content.nodes.keys():
            yield document.problem(("edges", kind, start), f"there is no node '{start}'", at_key=True)
    known: set[tuple[str, str, str]] = set()
    for edge, where in _edges(content):
        key = (edge.type, edge.start, edge.end)
        if edge.end not in content.nodes:
            yield document.problem(where, f"there is no node '{edge.end}'")
        if key in known:
            yield document.problem(where, "this edge stands here twice")
        known.add(key)
