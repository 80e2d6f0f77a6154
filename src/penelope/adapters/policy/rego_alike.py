"""Finds in the syntax trees of Rego what the embedded evaluator and OPA were seen to read differently.

Two forms: a rule of many values (`contains`, `name[key] := value`) that looks something up in its head, of which regorus
keeps nothing at all once one look-up finds nothing; and `not` over a look-up, a call or arithmetic whose operand is not
there, which is true for regorus and undefined for OPA. Both let through what should be denied. What is bound to a name
in the body first, both read alike.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from penelope.adapters.yaml_source import Problem

Node = Mapping[str, Any]

_LITERALS = frozenset({"String", "RawString", "Number", "Bool", "Null"})
_PARTS = frozenset({"RefDot", "RefBrack", "Call"})
_CLOSED = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
"""What they look up inside cannot make them undefined."""
_OPERATIONS = frozenset({"Call", "Membership", "ArithExpr", "BinExpr", "UnaryExpr"})

_HEAD = "bind it to a name in the rule's body: evaluators differ where a rule of many values looks something up in its head"
_NOT = "bind it to a name, or make it a rule, before `not`: evaluators differ where an operand of it is not there"


def read_differently(trees: list[Node]) -> Iterator[Problem]:
    """Each such place."""
    for tree in trees:
        file = tree["source"]["file"]
        for rule in tree["ast"]["rules"]:
            head = (rule.get("Spec") or {}).get("head") or {}
            for value in _of_head(head):
                if not _plain(value):
                    yield _problem(file, value, rule, _HEAD)
            for negated in _found(rule, "NotExpr"):
                for operand in _operands(negated["expr"]):
                    yield _problem(file, operand, negated, _NOT)


def _of_head(head: Node) -> Iterator[Node]:
    """Keys and values of a rule of many values."""
    if "Set" in head:
        yield from _keys(head["Set"]["refr"])
        if head["Set"].get("key"):
            yield head["Set"]["key"]
    elif "Compr" in head:
        keys = list(_keys(head["Compr"]["refr"]))
        yield from keys
        if any("Var" in key for key in keys) and head["Compr"].get("assign"):
            yield head["Compr"]["assign"]["value"]


def _keys(reference: Node) -> Iterator[Node]:
    while "RefBrack" in reference or "RefDot" in reference:
        inner = reference.get("RefBrack") or reference["RefDot"]
        if "index" in inner:
            yield inner["index"]
        reference = inner["refr"]


def _plain(node: Node) -> bool:
    """Whether a value is a name, a constant, a part of `input` or `data`, or made of those."""
    [(kind, content)] = node.items() if len(node) == 1 else [("", node)]
    if kind == "Var" or kind in _LITERALS:
        return True
    if kind == "RefDot":
        while "RefDot" in node:
            node = node["RefDot"]["refr"]
        return node.get("Var", {}).get("value") in {"input", "data"}
    if kind in {"Array", "Set"}:
        return all(_plain(item) for item in content["items"])
    if kind == "Object":
        return all(_plain(part) for _, key, value in content["fields"] for part in (key, value))
    return kind in _CLOSED


def _operands(node: Any) -> Iterator[Node]:
    """What an expression looks up, calls or counts with, where that itself may be undefined."""
    if isinstance(node, list):
        for item in node:
            yield from _operands(item)
    elif isinstance(node, dict):
        for kind, content in node.items():
            if kind in _CLOSED:
                continue
            if kind == "RefBrack" and not _certain(content["index"]):
                yield content["index"]
            elif kind in _OPERATIONS:
                parts = (value for key, value in content.items() if key not in {"span", "fcn", "op"})
                yield from (part for value in parts for part in _listed(value) if not _certain(part))
            yield from _operands(content)


def _listed(value: Any) -> list[Node]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _certain(node: Any) -> bool:
    if isinstance(node, list):
        return all(_certain(item) for item in node)
    if not isinstance(node, dict):
        return True
    if node.get("Var", {}).get("value") in {"_", "input"}:
        return False
    return all(kind in _CLOSED or (kind not in _PARTS and _certain(part)) for kind, part in node.items())


def _found(node: Any, wanted: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == wanted:
                yield value
            yield from _found(value, wanted)
    elif isinstance(node, list):
        for value in node:
            yield from _found(value, wanted)


def _problem(file: str, node: Any, around: Any, message: str) -> Problem:
    span = next(_found(node, "span"), None) or next(_found(around, "span"))
    return Problem(file, span["line"], span["col"], message)
