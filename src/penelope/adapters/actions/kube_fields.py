"""Fields of Kubernetes objects: found, set and compared by their path, and turned into the smallest merge patch."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from penelope.kit.canonical import Json

FieldPath = tuple[str, ...]
"""Steps from the root of an object. A step in square brackets is an item of a list, by its name."""

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)")
_SCALE = {name: Fraction(1000) ** at for name, at in zip("mkMGTPE", (-1, 1, 2, 3, 4, 5, 6), strict=True)}
_SCALE |= {f"{name}i": Fraction(1024) ** (at + 1) for at, name in enumerate("KMGTPE")} | {"": Fraction(1)}
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a field was and what it shall be; None stands for a field that is not there."""

    path: FieldPath
    before: Json
    wanted: Json


def amount(text: Json) -> Fraction | None:
    """What a quantity such as 512Mi or 500m stands for; None where it is none."""
    match = _QUANTITY.fullmatch(str(text)) if isinstance(text, str | int) else None
    return None if match is None else Fraction(match[1]) * _SCALE[match[2]]


def mebibytes(size: Fraction) -> str:
    """An amount of memory as a quantity, rounded down to whole mebibytes."""
    return f"{int(size / _MEBIBYTE)}Mi"


def shown(path: FieldPath) -> str:
    """A path for people."""
    return ".".join(path).replace(".[", "[")


def found(item: Json, path: FieldPath) -> Json:
    """What is at a path, None where nothing is."""
    for step in path:
        if step.startswith("["):
            item = _named(item, step)
        else:
            item = item.get(step) if isinstance(item, Mapping) else None
        if item is None:
            return None
    return item


def _named(items: Json, step: str) -> Json:
    listed = items if isinstance(items, list) else []
    return next(
        (each for each in listed if isinstance(each, Mapping) and each.get("name") == step[1:-1]), None
    )


def same(path: FieldPath, one: Json, other: Json) -> bool:
    """Whether two values of a field are equal; quantities are by what they stand for: 1024Mi is 1Gi."""
    if one == other:
        return True
    if "resources" not in path:
        return False
    first, second = amount(one), amount(other)
    return first is not None and first == second


def with_values(item: Json, values: Mapping[FieldPath, Json]) -> Json:
    """A copy of an object in which fields have other values. Raises KeyError for a named item that is not there."""
    changed = copy.deepcopy(item)
    for path, value in values.items():
        _set(changed, path, value)
    return changed


def _set(item: Json, path: FieldPath, value: Json) -> None:
    parents = [item]
    for step in path[:-1]:
        if step.startswith("["):
            below = _named(parents[-1], step)
            if below is None:
                raise KeyError(step)
        elif value is None and parents[-1].get(step) is None:
            return
        elif not isinstance(parents[-1].get(step), dict | list):
            below = parents[-1][step] = {}
        else:
            below = parents[-1][step]
        parents.append(below)
    if value is not None:
        parents[-1][path[-1]] = copy.deepcopy(value)
        return
    parents[-1].pop(path[-1], None)
    # What holds nothing any more goes as well, for it came with its only content.
    for step, parent in zip(reversed(path[:-1]), reversed(parents[:-1]), strict=True):
        if isinstance(parent, dict) and step in {"annotations", "labels"} and parent.get(step) == {}:
            del parent[step]


def merge_patch(now: Json, wanted: Json) -> dict[str, Json]:
    """The merge patch (RFC 7396) that makes one object into another; a list that differs is sent as a whole."""
    patch: dict[str, Json] = {name: None for name in now if name not in wanted}
    for name, value in wanted.items():
        if name not in now:
            patch[name] = value
        elif now[name] != value:
            both = isinstance(now[name], dict) and isinstance(value, dict)
            patch[name] = merge_patch(now[name], value) if both else value
    return patch


def leaves(patch: Json, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Json]]:
    """The fields that a merge patch sets (or, with None, removes)."""
    if isinstance(patch, Mapping) and patch:
        for name, value in patch.items():
            yield from leaves(value, (*path, name))
    else:
        yield path, patch
