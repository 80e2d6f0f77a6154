"""What policies in Rego can tell apart of an asset, read from their syntax trees.

A part that no policy reads makes no difference, and one that is only held against texts, or against the subject, makes none
beyond which of those it equals. Whatever is not understood here counts as read in full.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Node = Mapping[str, Any]

PARTS = ("name", "kind", "classification", "owner")
"""Of an asset beside its columns, which are always looked at: answers are held against them."""

_SUBJECT = frozenset({"actor", "role", "region", "purpose"})
_ALWAYS_TRUE = "is_string"
"""Every part is a text in each question, so that asking for that tells nothing."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A part that is only asked to equal, or not, one of these texts, or one of these parts of the subject."""

    texts: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sight:
    """`read` are the parts of an asset that may be read in full, `compared` those that are only compared. Others are not
    looked at.
    """

    read: frozenset[str] = frozenset(PARTS)
    compared: Mapping[str, Compared] = field(default_factory=dict)

    def of_asset(self, asset: Mapping[str, Any]) -> Hashable:
        """Two assets with the same have the same answer, whoever asks for what. `asset` is that of a question's document."""
        parts = (asset[part] for part in PARTS if part in self.read or part in self.compared)
        return (*parts, *sorted(asset["columns"].items()))

    def of_question(self, subject: Mapping[str, str], asset: Mapping[str, Any]) -> tuple[Hashable, ...]:
        """What the answer follows from beside subject, verb and columns."""
        seen: list[Hashable] = []
        for part in PARTS:
            value = asset[part]
            known = self.compared.get(part)
            if part in self.read:
                seen.append(value)
            elif known is not None:
                equal = value in known.texts or any(subject[name] == value for name in known.subject)
                seen.append(value if equal else None)
        return tuple(seen)


def sight_of(trees: Sequence[Node]) -> Sight:
    """What the policies of these syntax trees (`regorus.Engine.get_ast_as_json`) can tell apart."""
    if _swaps([tree["ast"] for tree in trees]):
        return Sight()
    own = any(_defines(tree["ast"], _ALWAYS_TRUE) for tree in trees)
    found = [use for tree in trees for use in _uses(tree["ast"], ignore="" if own else _ALWAYS_TRUE)]
    if any(not use.part for use in found):
        return Sight()
    read = {use.part for use in found if use.with_ is None}
    compared: dict[str, Compared] = {}
    for use in found:
        if use.part in read or use.with_ is None:
            continue
        known = compared.get(use.part, Compared())
        compared[use.part] = Compared(known.texts | use.with_.texts, known.subject | use.with_.subject)
    return Sight(frozenset(read), compared)


@dataclass(frozen=True, slots=True)
class _Use:
    """A place where a part of the asset is read, or compared `with_` something. Without a part it may be all of them."""

    part: str
    with_: Compared | None = None


def _uses(node: Any, ignore: str) -> Iterator[_Use]:
    if isinstance(node, list):
        for item in node:
            yield from _uses(item, ignore)
        return
    if not isinstance(node, dict):
        return
    path = _path(node)
    if path is not None:
        yield from _read(path)
    elif "RefDot" in node or "RefBrack" in node or len(node) != 1:
        for value in node.values():
            yield from _uses(value, ignore)
    else:
        yield from _uses_of(node, ignore)


def _uses_of(node: Node, ignore: str) -> Iterator[_Use]:
    """Of an expression; comparisons and the one question of type are understood, all others are looked into."""
    [(kind, content)] = node.items()
    if kind == "BoolExpr" and content["op"] in {"Eq", "Ne"}:
        for one, other in ((content["lhs"], content["rhs"]), (content["rhs"], content["lhs"])):
            part, beside = _part(_path(one)), _constant(other)
            if part and beside is not None:
                yield _Use(part, beside)
                return
    if kind == "Call" and ignore and content["fcn"].get("Var", {}).get("value") == ignore:
        parts = [_part(_path(each)) for each in content["params"]]
        if all(parts):
            return
    yield from _uses(content, ignore)


def _path(node: Any) -> tuple[str, ...] | None:
    """``("asset", "owner")`` of ``input.asset.owner``; empty for `input` itself, None for what is nothing of it."""
    fields: list[str] = []
    while isinstance(node, dict) and "RefDot" in node:
        fields.append(str(node["RefDot"]["field"][1]))
        node = node["RefDot"]["refr"]
    if isinstance(node, dict) and node.get("Var", {}).get("value") == "input":
        return tuple(reversed(fields))
    return None


def _part(path: tuple[str, ...] | None) -> str:
    """The part of an asset that a path names exactly."""
    return path[1] if path and len(path) == 2 and path[0] == "asset" and path[1] in PARTS else ""


def _read(path: tuple[str, ...]) -> Iterator[_Use]:
    if path[:1] == ("asset",) and len(path) > 1:
        yield _Use(path[1])
    elif path[:1] not in {("subject",), ("verb",)}:
        yield _Use("")


def _constant(node: Any) -> Compared | None:
    """What is the same for all assets: a text, or a text of the subject."""
    path = _path(node)
    if path is not None:
        named = len(path) == 2 and path[0] == "subject" and path[1] in _SUBJECT
        return Compared(subject=frozenset({path[1]})) if named else None
    if isinstance(node, dict) and set(node) == {"String"}:
        text = str(node["String"]["value"])
        # Whether the tree holds a text as it is written or as it is meant cannot be told where the two differ.
        return None if "\\" in text else Compared(texts=frozenset({text}))
    return None


def _defines(node: Any, name: str) -> bool:
    """Whether a name may mean something of the files' own: it stands anywhere but where a function is called."""
    if isinstance(node, list):
        return any(_defines(item, name) for item in node)
    if not isinstance(node, dict):
        return False
    if "refr" in node and node.get("as"):
        return True
    if node.get("Var", {}).get("value") == name or node.get("RefDot", {}).get("field", ("", ""))[1] == name:
        return True
    return any(
        _defines(value, name)
        for key, value in node.items()
        if not (key == "fcn" and value.get("Var", {}).get("value") == name)
    )


def _swaps(node: Any) -> bool:
    """Whether `with` puts something in the place of the question."""
    if isinstance(node, list):
        return any(map(_swaps, node))
    return isinstance(node, dict) and (bool(node.get("with_mods")) or any(map(_swaps, node.values())))
