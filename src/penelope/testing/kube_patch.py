"""The three ways in which clients of Kubernetes patch an object: merge, strategic merge, and JSON patch."""

import copy
from collections.abc import Callable, Mapping

from penelope.kit.canonical import Json
from penelope.testing.kube_kinds import Refused

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "taints": "key",
    "ownerReferences": "uid",
}
"""Lists whose items the strategic merge recognises, and by what; any other list is replaced as a whole."""


def patched(content_type: str, current: Json, patch: Json) -> Json:
    """A copy of the object with the patch applied. Raises Refused for a patch, or a kind of one, that cannot be."""
    ways: dict[str, Callable[[Json, Json], Json]] = {
        "application/merge-patch+json": merge,
        "application/strategic-merge-patch+json": strategic,
        "application/json-patch+json": json_patch,
    }
    way = ways.get(content_type.split(";", maxsplit=1)[0].strip())
    if way is None:
        raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
    return way(copy.deepcopy(current), patch)


def merge(current: Json, patch: Json) -> Json:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(current: Json, patch: Json) -> Json:
    """The part of the strategic merge that kubectl uses: items by their keys, and the directives for removal."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(current) if isinstance(current, dict) else {}
    if isinstance(patch.get("$retainKeys"), list):
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list) and key in _MERGE_KEYS:
            merged[key] = _by_key(merged.get(key) or [], value, _MERGE_KEYS[key])
        else:
            merged[key] = strategic(merged.get(key), value)
    return merged


def _by_key(current: list[Json], patch: list[Json], name: str) -> list[Json]:
    if any(not isinstance(item, Mapping) for item in patch):
        raise Refused(400, "BadRequest", "an item of the patch is no object")
    kept: list[Json] = [] if {"$patch": "replace"} in patch else list(current)
    for item in patch:
        if item == {"$patch": "replace"}:
            continue
        if name not in item:
            raise Refused(400, "BadRequest", f"an item of the patch lacks its merge key {name}")
        at = next((index for index, old in enumerate(kept) if old.get(name) == item[name]), None)
        if item.get("$patch") == "delete":
            kept = [old for old in kept if old.get(name) != item[name]]
        elif at is None:
            kept.append(strategic({}, item))
        else:
            kept[at] = strategic(kept[at], item)
    return kept


def json_patch(current: Json, patch: Json) -> Json:
    """RFC 6902, without `move` and `copy`, which no client here sends."""
    if not isinstance(patch, list):
        raise Refused(400, "BadRequest", "a JSON patch is a list of operations")
    for item in patch:
        try:
            current = _operate(current, item["op"], _steps(item["path"]), item.get("value"))
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            raise Refused(
                422, "Invalid", "the server rejected our request due to an error in our request"
            ) from None
    return current


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _operate(current: Json, verb: str, steps: list[str], value: Json) -> Json:
    if not steps:
        if verb == "test" and current != value:
            raise ValueError
        return current if verb == "test" else value
    parent = current
    for step in steps[:-1]:
        parent = parent[int(step)] if isinstance(parent, list) else parent[step]
    last: str | int = steps[-1]
    if isinstance(parent, list):
        last = len(parent) if last == "-" else int(last)
    if verb in {"test", "replace", "remove"} and parent[last] != (value if verb == "test" else parent[last]):
        raise ValueError
    if verb == "add" and isinstance(parent, list):
        parent.insert(int(last), value)
    elif verb in {"add", "replace"}:
        parent[last] = value
    elif verb == "remove":
        del parent[last]
    elif verb != "test":
        raise ValueError(verb)
    return current
