"""Reads the syntax trees of Rego for calls that may not be there: of functions that are not admitted, and of themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penelope.adapters.policy.builtins import ADMITTED
from penelope.adapters.yaml_source import Problem

Node = Mapping[str, Any]

_UNNAMED = "?"
"""Stands for what has no name before it is judged, as in ``time["now_ns"]()``."""


@dataclass(frozen=True, slots=True)
class _Module:
    """One file: its package, as `data.` and its path, and what its imports stand for."""

    file: str
    package: str
    aliases: Mapping[str, str]
    rules: Sequence[Node]

    def full(self, name: str) -> str:
        """The name of a function with its package, as a call in this file means it."""
        first, dot, rest = name.partition(".")
        if first == "data":
            return name
        return f"{self.aliases[first]}{dot}{rest}" if first in self.aliases else f"{self.package}.{name}"


def forbidden(trees: Sequence[Node]) -> Iterator[Problem]:
    """Calls of what is neither admitted nor defined in the files themselves, and functions that come to call themselves.

    The evaluator follows such functions until its stack is at its end, and takes the server's process with it; OPA
    refuses them as well.
    """
    modules = [_module(tree) for tree in trees]
    named = [(module, name) for module in modules for rule in module.rules if (name := _function(rule))]
    defined = {module.full(name) for module, name in named if _UNNAMED not in name}
    callees: dict[str, set[str]] = {}
    for module in modules:
        for rule in module.rules:
            yield from _swaps(module, rule)
            called = {_name(call["fcn"]): call["span"] for call in _values(rule, "Call")}
            own = {name: module.full(name) for name in called if module.full(name) in defined}
            callees.setdefault(module.full(_function(rule)), set()).update(own.values())
            for name in called.keys() - own.keys() - ADMITTED.keys():
                message = f"the function {name} is not admitted; docs/policy.md lists those that are"
                yield _problem(module, called[name], message)
    for module in modules:
        for rule in module.rules:
            name = _function(rule)
            if name and module.full(name) in _reached(module.full(name), callees):
                yield _problem(module, rule["Spec"]["span"], f"the function {name} comes to call itself")


def _swaps(module: _Module, rule: Node) -> Iterator[Problem]:
    """What `with` puts in the place of a function would hide what is called."""
    for swaps in _values(rule, "with_mods"):
        for swap in swaps:
            if _name(swap["refr"]).partition(".")[0] != "input":
                yield _problem(module, swap["span"], "`with` may replace nothing but input")


def _reached(start: str, callees: Mapping[str, set[str]]) -> set[str]:
    """All functions that a function calls, directly or through others."""
    found, waiting = set[str](), [start]
    while waiting:
        fresh = callees.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def _module(tree: Node) -> _Module:
    source, content = tree["source"], tree["ast"]
    text = str(source["contents"]).encode()
    aliases: dict[str, str] = {}
    for item in content["imports"]:
        path, alias = _name(item["refr"]), item.get("as")
        name = path.rpartition(".")[2] if alias is None else text[alias["start"] : alias["end"]].decode()
        aliases[name] = path
    return _Module(source["file"], f"data.{_name(content['package']['refr'])}", aliases, content["rules"])


def _function(rule: Node) -> str:
    """The name of the function that a rule defines; empty for any other rule."""
    head = (rule.get("Spec") or {}).get("head") or {}
    return _name(head["Func"]["refr"]) if "Func" in head else ""


def _values(node: Any, wanted: str) -> Iterator[Any]:
    """All that stands under a key, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == wanted:
                yield value
            yield from _values(value, wanted)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, wanted)


def _name(node: Node) -> str:
    if "Var" in node:
        return str(node["Var"]["value"])
    if "RefDot" in node:
        return f"{_name(node['RefDot']['refr'])}.{node['RefDot']['field'][1]}"
    return _UNNAMED


def _problem(module: _Module, span: Node, message: str) -> Problem:
    return Problem(module.file, span["line"], span["col"], message)
