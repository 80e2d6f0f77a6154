"""RFC 6902 patches: what changed from one JSON document to another, and how to do it again."""

import copy
import re
from collections.abc import Sequence

import orjson

from penelope.kit.canonical import Json, canonical

_ABSENT = object()
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


def diff(before: Json, after: Json) -> list[dict[str, Json]]:
    """The operations (add, remove and replace) that make `after` of `before`; none if their canonical forms are the same.

    Members are compared in order of their names. Lists keep their common beginning and end; what lies between is
    compared by index. Values in the patch are those of `after`, not copies.
    """
    patch: list[dict[str, Json]] = []
    _compare(before, after, "", patch)
    return patch


def changed_paths(before: Json, after: Json) -> list[str]:
    """The JSON pointers (RFC 6901) of all that differs, in the order of `diff`."""
    return [operation["path"] for operation in diff(before, after)]


def apply(document: Json, patch: Sequence[Json]) -> Json:
    """The document after all operations of a patch; it shares what did not change with `document`, which stays as it is.

    Raises ValueError with the operation's number (from 0) and path if one is malformed or does not fit.
    """
    for number, operation in enumerate(patch):
        try:
            document = _applied(document, operation)
        except (ValueError, RecursionError) as error:
            path = operation.get("path") if isinstance(operation, dict) else None
            raise ValueError(f"operation {number} of the patch, path {path!r}: {error}") from error
    return document


def _same(one: Json, other: Json) -> bool:
    """Whether two values have the same canonical form: 1 and 1.0 have, 1 and True have not."""
    if one is other:
        return True
    if one != other:
        return False
    if isinstance(one, dict | list):
        return _same_inside(one, other)
    return isinstance(one, bool) == isinstance(other, bool)


def _same_inside(one: Json, other: Json) -> bool:
    """The same for containers that Python finds equal: somewhere in them 1 may have become True."""
    try:
        if orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS):
            return True
    except TypeError:  # something that only the canonical form has an answer to
        pass
    return canonical(one) == canonical(other)


def _compare(before: Json, after: Json, path: str, patch: list[dict[str, Json]]) -> None:
    if type(before) is type(after) is dict:
        _compare_objects(before, after, path, patch)
    elif type(before) is type(after) is list:
        _compare_lists(before, after, path, patch)
    elif not _same(before, after):
        patch.append({"op": "replace", "path": path, "value": after})


def _compare_objects(
    before: dict[str, Json], after: dict[str, Json], path: str, patch: list[dict[str, Json]]
) -> None:
    names = [name for name in after if name not in before]
    for name, item in before.items():
        other = after.get(name, _ABSENT)
        # Most members are texts that did not change: a call for each would double the time.
        if not (item is other or (type(item) is str and item == other) or _same(item, other)):
            names.append(name)
    for name in sorted(names):
        place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in after:
            patch.append({"op": "remove", "path": place})
        elif name not in before:
            patch.append({"op": "add", "path": place, "value": after[name]})
        else:
            _compare(before[name], after[name], place, patch)


def _compare_lists(before: list[Json], after: list[Json], path: str, patch: list[dict[str, Json]]) -> None:
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and _same(before[start], after[start]):
        start += 1
    kept = 0
    while kept < shorter - start and _same(before[-1 - kept], after[-1 - kept]):
        kept += 1
    for index in range(start, shorter - kept):
        _compare(before[index], after[index], f"{path}/{index}", patch)
    surplus = range(shorter - kept, len(before) - kept)
    patch += [{"op": "remove", "path": f"{path}/{index}"} for index in reversed(surplus)]
    missing = range(shorter - kept, len(after) - kept)
    patch += [{"op": "add", "path": f"{path}/{index}", "value": after[index]} for index in missing]


def _applied(document: Json, operation: Json) -> Json:
    match operation:
        case {"op": "add", "path": str(path), "value": value}:
            return _added(document, path, value)
        case {"op": "remove", "path": str(path)}:
            return _removed(document, path)
        case {"op": "replace", "path": str(path), "value": value}:
            holder, parent, token = _opened(document, path)
            parent[_key(parent, token)] = value
            return holder[""]
        case {"op": "move", "from": str(source), "path": str(path)}:
            return _moved(document, source, path)
        case {"op": "copy", "from": str(source), "path": str(path)}:
            return _added(document, path, _found(document, source))
        case {"op": "test", "path": str(path), "value": value}:
            if not _same(_found(document, path), value):
                raise ValueError("another value is there than the test wants")
            return document
    raise ValueError("no operation of RFC 6902, or one that lacks a member")


def _added(document: Json, path: str, value: Json) -> Json:
    holder, parent, token = _opened(document, path)
    if isinstance(parent, dict):
        parent[token] = value
    elif isinstance(parent, list) and token in {"-", str(len(parent))}:
        parent.append(value)
    else:
        index = _key(parent, token)  # refuses what is no list
        parent.insert(index, value)
    return holder[""]


def _removed(document: Json, path: str) -> Json:
    if not path:
        raise ValueError("the whole document cannot be removed")
    holder, parent, token = _opened(document, path)
    del parent[_key(parent, token)]
    return holder[""]


def _moved(document: Json, source: str, path: str) -> Json:
    value = _found(document, source)
    if path == source:
        return document
    if path.startswith(f"{source}/"):
        raise ValueError("a value cannot be moved into itself")
    return _added(_removed(document, source), path, value)


def _opened(document: Json, pointer: str) -> tuple[dict[str, Json], Json, str]:
    """Copies what leads to a place: a holder of the new document, the parent of the place, and its name in there.

    The document is the holder's member "", which makes the empty first token of every pointer a step like any other.
    """
    holder: dict[str, Json] = {"": document}
    parent: Json = holder
    *way, last = _tokens(pointer)
    for token in way:
        key = _key(parent, token)
        parent[key] = copy.copy(parent[key])
        parent = parent[key]
    return holder, parent, last


def _found(document: Json, pointer: str) -> Json:
    here: Json = {"": document}
    for token in _tokens(pointer):
        here = here[_key(here, token)]
    return here


def _tokens(pointer: str) -> list[str]:
    if (pointer and not pointer.startswith("/")) or _BAD_ESCAPE.search(pointer):
        raise ValueError(f"{pointer!r} is no JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")]


def _key(parent: Json, token: str) -> str | int:
    """The key or index of a member or element that is there."""
    if isinstance(parent, dict) and token in parent:
        return token
    if isinstance(parent, list) and _INDEX.fullmatch(token) and int(token) < len(parent):
        return int(token)
    raise ValueError(f"there is no {token!r}")
