"""The objects of the small API server: versions, generations, conflicts, and what happened to them in order."""

import copy
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from penelope.kit.canonical import Json
from penelope.testing.kube_kinds import BY_PLURAL, Kind, Place, Refused, conflict, invalid, not_found
from penelope.testing.kube_rules import check, complete

Mending = Callable[[Json], Json]
_EVENTS = 4096


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fits(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels fit a selector of equalities. Raises Refused for anything else."""
    for part in filter(None, selector.split(",")):
        name, equal, value = part.replace("==", "=").partition("=")
        if not equal or name.endswith("!") or " in " in part:
            raise Refused(400, "BadRequest", "unable to parse the selector: only equalities are known here")
        if labels.get(name.strip()) != value.strip():
            return False
    return True


class Store:
    """Everything that the server knows. `lock` is held for each request, and while the controllers play."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self.events: deque[tuple[int, str, str, Json]] = deque(maxlen=_EVENTS)
        self.born: dict[str, float] = {}
        """When an object came to be, by uid, on the monotonic clock."""
        self._objects: dict[tuple[str, str, str], Json] = {}

    def all(self, plural: str, namespace: str = "") -> list[Json]:
        """The objects themselves, not copies, in the order of their names."""
        found = [key for key in self._objects if key[0] == plural and (not namespace or key[1] == namespace)]
        return [self._objects[key] for key in sorted(found)]

    def find(self, plural: str, namespace: str, name: str) -> Json | None:
        return self._objects.get((plural, namespace, name))

    def get(self, at: Place) -> Json:
        found = self.find(at.kind.key, at.namespace, at.name)
        if found is None:
            raise not_found(at.kind.plural, at.name)
        return found

    def create(self, at: Place, item: Json, *, dry: bool = False) -> Json:
        item = copy.deepcopy(item)
        meta = item.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        if at.kind.namespaced and meta.setdefault("namespace", at.namespace) != at.namespace:
            raise Refused(
                400, "BadRequest", "the namespace of the object does not match the namespace of the path"
            )
        key = (at.kind.key, at.namespace, str(meta.get("name")))
        if key in self._objects:
            raise Refused(409, "AlreadyExists", f'{at.kind.plural} "{key[2]}" already exists')
        if at.kind.namespaced and ("namespaces", "", at.namespace) not in self._objects:
            raise not_found("namespaces", at.namespace)
        if meta.get("resourceVersion"):
            raise Refused(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        meta.update({"uid": str(uuid.uuid4()), "creationTimestamp": stamp(), "generation": 1})
        complete(at.kind, item)
        check(at.kind, item)
        if not dry:
            self.born[meta["uid"]] = time.monotonic()
            self._put(key, item, "ADDED")
        return item

    def update(self, at: Place, mend: Mending, *, dry: bool = False) -> Json:
        """Changes an object by a function of a copy of it, as PUT and PATCH do. Raises Refused."""
        current = self.get(at)
        item = mend(copy.deepcopy(current))
        if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
            raise Refused(400, "BadRequest", "what remains is no object")
        self._check_identity(at, current, item)
        if at.below == "status":
            item = {**copy.deepcopy(current), "status": item.get("status")}
        elif "status" in current:
            item["status"] = copy.deepcopy(current["status"])
        else:
            item.pop("status", None)
        complete(at.kind, item)
        check(at.kind, item)
        self._check_unchangeable(at, current, item)
        if item.get("spec") != current.get("spec"):
            item["metadata"]["generation"] = current["metadata"]["generation"] + 1
        if item == current or dry:
            return item
        self._put((at.kind.key, at.namespace, at.name), item, "MODIFIED")
        return item

    def delete(self, at: Place, preconditions: Json = None, *, dry: bool = False) -> Json:
        """Begins to delete a pod, which takes a moment; anything else is gone at once, with what it owns."""
        current = self.get(at)
        for name, value in (preconditions or {}).items():
            if value is not None and current["metadata"].get(name) != value:
                raise conflict(
                    at.kind.plural, at.name, f"Precondition failed: {name} in precondition: {value}"
                )
        if dry:
            return current
        if at.kind.plural == "pods":
            if "deletionTimestamp" not in current["metadata"]:
                self.touch(current, lambda item: item["metadata"].update(deletionTimestamp=stamp()))
                self.born[f"end {current['metadata']['uid']}"] = time.monotonic()
            return current
        self.drop(current, at.kind)
        return current

    def drop(self, item: Json, kind: Kind) -> None:
        """Removes an object, and all that it owns."""
        meta = item["metadata"]
        if self._objects.pop((kind.key, meta.get("namespace", ""), meta["name"]), None) is None:
            return
        self.version += 1
        gone = copy.deepcopy(item)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self.events.append((self.version, "DELETED", kind.key, gone))
        for plural in ("replicasets", "jobs", "pods"):
            for owned in self.owned(plural, meta["uid"]):
                self.drop(owned, BY_PLURAL[plural])

    def owned(self, plural: str, uid: str) -> list[Json]:
        return [
            item
            for item in self.all(plural)
            if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())
        ]

    def touch(self, item: Json, mend: Callable[[Json], object]) -> bool:
        """A controller's change, made to the object itself; says whether it changed anything."""
        known = (item["apiVersion"], item["kind"])
        plural = next(kind.key for kind in BY_PLURAL.values() if (kind.version, kind.kind) == known)
        changed = copy.deepcopy(item)
        mend(changed)
        if changed == item:
            return False
        if changed.get("spec") != item.get("spec"):
            changed["metadata"]["generation"] += 1
        check(BY_PLURAL[plural], changed)
        item.clear()
        item.update(changed)
        meta = item["metadata"]
        self._put((plural, meta.get("namespace", ""), meta["name"]), item, "MODIFIED")
        return True

    def _put(self, key: tuple[str, str, str], item: Json, what: str) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self._objects[key] = item
        self.events.append((self.version, what, key[0], copy.deepcopy(item)))

    def _check_identity(self, at: Place, current: Json, item: Json) -> None:
        before, meta = current["metadata"], item["metadata"]
        for name in ("uid", "resourceVersion"):
            if meta.setdefault(name, before[name]) != before[name]:
                why = "the object has been modified; please apply your changes to the latest version and try again"
                raise conflict(
                    at.kind.plural, at.name, why if name == "resourceVersion" else "Precondition failed: UID"
                )
        if (meta.get("name"), meta.get("namespace")) != (before["name"], before.get("namespace")):
            raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")
        for name in ("creationTimestamp", "generation", "deletionTimestamp"):
            meta.pop(name, None)
            if name in before:
                meta[name] = before[name]

    def _check_unchangeable(self, at: Place, current: Json, item: Json) -> None:
        before, spec = current.get("spec") or {}, item.get("spec") or {}
        fixed = {"Deployment": ("selector",), "ReplicaSet": ("selector",), "Job": ("template", "completions")}
        for name in fixed.get(at.kind.kind, ()):
            if before.get(name) != spec.get(name):
                raise invalid(at.kind.kind, at.name, f"spec.{name}: Invalid value: field is immutable")
        if (
            at.kind.kind == "Pod"
            and at.below != "status"
            and _without_images(before) != _without_images(spec)
        ):
            raise invalid(
                "Pod", at.name, "spec: Forbidden: pod updates may not change fields other than the image"
            )


def _without_images(spec: Json) -> Json:
    return {**spec, "containers": [{**item, "image": ""} for item in spec["containers"]]}
