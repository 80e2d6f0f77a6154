"""Nodes and edges as both stores keep them, and rows as they come back."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from penelope.adapters.graph.cypher import NamedQuery
from penelope.adapters.graph.library import folded
from penelope.domain.graph import Edge, Node
from penelope.errors import Unavailable
from penelope.kit.canonical import Json, canonical

NODE_FIELDS: Mapping[str, str] = {
    "id": "STRING",
    "place": "INT64",
    "weight": "INT64",
    "generation": "STRING",
    "kind": "STRING",
    "name": "STRING",
    "folded": "STRING",
    "classification": "STRING",
    "status": "STRING",
    "at": "INT64",
    "properties": "STRING",
}
"""What is kept of a node, with its type. `place` is its rank among all ids: stores sort texts differently, and numbers
alike. `weight` decides among ways of the same length: sums of it are the same only by a chance of 2^-40.
"""

_WEIGHTS = 5  # bytes


def node_records(nodes: Sequence[Node], generation: str) -> Iterator[dict[str, Json]]:
    """The nodes in the order of their ids, fields as in `NODE_FIELDS`."""
    for place, node in enumerate(sorted(nodes, key=lambda node: node.id)):
        yield {
            "id": node.id,
            "place": place,
            "weight": weight_of(node.id),
            "generation": generation,
            "kind": node.label,
            "name": node.name,
            "folded": folded(node.name),
            "classification": str(node.classification),
            "status": node.properties.get("status", ""),
            "at": node.properties.get("at", 0),
            "properties": _json(node.properties),
        }


def weight_of(identifier: str) -> int:
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=_WEIGHTS).digest(), "big")


def edge_records(edges: Iterable[Edge]) -> dict[str, list[dict[str, Json]]]:
    """The edges by type; the same edge counts once."""
    found: dict[tuple[str, str, str], dict[str, Json]] = {}
    for edge in edges:
        found[edge.type, edge.start, edge.end] = {
            "start": edge.start,
            "end": edge.end,
            "type": edge.type,
            "properties": _json(edge.properties),
        }
    grouped: dict[str, list[dict[str, Json]]] = {}
    for record in found.values():
        grouped.setdefault(record["type"], []).append(record)
    return grouped


def _json(properties: Mapping[str, Json]) -> str:
    return canonical(dict(properties)).decode() if properties else "{}"


def rows_of(query: NamedQuery, found: Iterable[Sequence[Any]]) -> list[dict[str, Json]]:
    """The rows by column. Raises Unavailable where the store answers what it was not asked."""
    kinds = query.columns
    try:
        return [
            {name: _VALUES[kind](value) for (name, kind), value in zip(kinds.items(), row, strict=True)}
            for row in found
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"the graph answers {query.name} with what makes no sense") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _path(value: Any) -> list[str]:
    return [_text(node["id"]) for node in value]


def _things(value: Any) -> list[Json]:
    return [{name: _text(node[name]) for name in ("id", "kind", "name", "classification")} for node in value]


_VALUES = {
    "text": _text,
    "number": _number,
    "moment": _number,
    "json": orjson.loads,
    "path": _path,
    "things": _things,
}
