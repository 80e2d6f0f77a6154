"""Acts on one object of a Kubernetes cluster, by the API server's REST interface."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kube_api import Cluster
from penelope.adapters.actions.kube_changes import (
    MARK_PATH,
    PRIVATE,
    Change,
    changes_of,
    mark_of,
    require_kind,
)
from penelope.adapters.actions.kube_fields import Field, found, merge_patch, same, shown, with_values
from penelope.adapters.actions.kube_look import look
from penelope.adapters.actions.kube_params import OPERATIONS, check_params
from penelope.adapters.actions.kube_pods import DELETING, Pod, delete, pods_of, progress_of
from penelope.adapters.kube import Conflict
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.errors import ActionFailed, CompensationFailed, OutcomeUnknown, Unavailable
from penelope.kit.canonical import Json, content_hash
from penelope.kit.codec import from_data, to_data

_Value = Callable[[Field], Json]
_TRIES = 8
_HASH_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The snapshot. `kept` names the fields of `changes` where they are too private, or too large, for history."""

    changes: tuple[Change, ...] = ()
    pods: tuple[Pod, ...] = ()
    kept: str = ""


class KubernetesAdapter:
    """An object is changed by one patch, together with an annotation that names the action: after a crash the two tell
    together what was done, and by whom. A patch bears the version of the object that was read, so that nobody else's
    change is lost.
    """

    name = "kubernetes"
    operations = OPERATIONS

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(Keep(surroundings.keep))

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        check_params(self.name, operation, params)

    async def snapshot(self, action: Action) -> Snapshot:
        cluster = self._cluster(action)
        if action.operation in DELETING:
            return Snapshot(state=to_data(_Before(pods=tuple(await pods_of(cluster, action)))))
        changes, kept = tuple(await changes_of(cluster, action)), ""
        if action.operation in PRIVATE:
            kept = self._keep.put(json.dumps(to_data([each.fields for each in changes])).encode())
            changes = tuple(replace(each, fields=()) for each in changes)
        return Snapshot(state=to_data(_Before(changes=changes, kept=kept)))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        cluster, before = self._cluster(action), self._read(snapshot)
        if action.operation in DELETING:
            lines = "".join(f"-pod: {pod.at.namespace}/{pod.at.name}\n" for pod in before.pods)
            return Preview(summary=f"{len(before.pods)} pods would start elsewhere", diff=lines)
        lines = ""
        for change in before.changes:
            await self._apply(cluster, action, change, dry=True)
            lines += "".join(_lines(action, change, field) for field in change.fields)
        return Preview(summary=f"{action.operation} would change {_titles(before.changes)}", diff=lines)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        cluster, before = self._cluster(action), self._read(snapshot)
        if action.operation in DELETING:
            return await progress_of(cluster, list(before.pods))
        found_ = {await self._progress(cluster, action, change) for change in before.changes} - {None}
        if Progress.UNKNOWN in found_:
            return Progress.UNKNOWN
        if len(found_) > 1:
            return Progress.PARTIAL
        return next((each for each in found_ if each is not None), Progress.APPLIED)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        cluster, before = self._cluster(action), self._read(snapshot)
        if action.operation in DELETING:
            return await delete(cluster, action, list(before.pods))
        began = False
        for change in before.changes:
            if await self._progress(cluster, action, change) in {None, Progress.APPLIED}:
                began = True
                continue
            try:
                await self._apply(cluster, action, change)
            except ActionFailed as error:
                if await self._has_passed(cluster, change):
                    continue
                if began:
                    raise OutcomeUnknown(f"it was done in part: {error.message}") from error
                raise
            began = True
        details = {} if action.operation in PRIVATE else _details(before.changes)
        return Effect(summary=f"{action.operation} of {_titles(before.changes)}", details=details)

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        cluster, before = self._cluster(action), self._read(snapshot)
        if action.operation in DELETING:
            await progress_of(cluster, list(before.pods))
            return Effect(summary="pods that went were started again by their controllers", repeated=True)
        restored = False
        for change in reversed(before.changes):
            restored = await self._restore(cluster, action, change) or restored
        return Effect(summary=f"{_titles(before.changes)}: as before", repeated=not restored)

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """A pod that went does not come back, another does: that is no difference."""
        cluster, before = self._cluster(action), self._read(snapshot)
        differences: list[Difference] = []
        for change in before.changes:
            item = await cluster.get(change.at)
            if item is None or item["metadata"]["uid"] != change.uid:
                if not change.passing:
                    now = None if item is None else item["metadata"]["uid"]
                    differences.append(Difference(subject=change.at.title, before=change.uid, now=now))
                continue
            for field in change.fields:
                now = found(item, field.path)
                if not same(field.path, now, field.before):
                    subject = f"{change.at.title}: {shown(field.path)}"
                    values = (_shown(action, field.before), _shown(action, now))
                    differences.append(Difference(subject=subject, before=values[0], now=values[1]))
            if _is_ours(item, action):
                subject = f"{change.at.title}: {shown(MARK_PATH)}"
                differences.append(Difference(subject=subject, before=change.mark, now=mark_of(action)))
        return differences

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return await look(Cluster(action.target, action.timeout_seconds))

    def _cluster(self, action: Action) -> Cluster:
        self.validate(action.operation, action.params)
        cluster = Cluster(action.target, action.timeout_seconds)
        require_kind(cluster, action)
        return cluster

    def _read(self, snapshot: Snapshot) -> _Before:
        before = from_data(_Before, snapshot.state)
        if not before.kept:
            return before
        fields = from_data(tuple[tuple[Field, ...], ...], json.loads(self._keep.get(before.kept)))
        changes = tuple(
            replace(change, fields=each) for change, each in zip(before.changes, fields, strict=True)
        )
        return replace(before, changes=changes)

    async def _progress(self, cluster: Cluster, action: Action, change: Change) -> Progress | None:
        """What became of one object; None where it has gone by itself, as it may."""
        item = await cluster.get(change.at)
        if item is None or item["metadata"]["uid"] != change.uid:
            return None if change.passing else Progress.UNKNOWN
        if _is_ours(item, action):
            return Progress.APPLIED
        another = found(item, MARK_PATH) != change.mark
        if not another or _all(item, change.fields, lambda field: field.before):
            return Progress.NOT_APPLIED
        return Progress.APPLIED if _all(item, change.fields, lambda field: field.wanted) else Progress.UNKNOWN

    @staticmethod
    async def _has_passed(cluster: Cluster, change: Change) -> bool:
        """Whether an object that may go by itself went between the look at it and the patch."""
        item = await cluster.get(change.at) if change.passing else {"metadata": {"uid": change.uid}}
        return item is None or item["metadata"]["uid"] != change.uid

    async def _apply(self, cluster: Cluster, action: Action, change: Change, *, dry: bool = False) -> None:
        """One patch that sets the fields and the annotation, of the object as it was when the snapshot was taken."""
        for _ in range(_TRIES):
            item = await cluster.get(change.at)
            if item is None or item["metadata"]["uid"] != change.uid:
                raise ActionFailed(f"{change.at.title} is no longer there")
            others = [
                field
                for field in change.fields
                if not same(field.path, found(item, field.path), field.before)
            ]
            if others:
                raise ActionFailed(
                    f"somebody else has changed {_paths(others)} of {change.at.title} meanwhile: it is left as it is"
                )
            values = {field.path: field.wanted for field in change.fields} | {MARK_PATH: mark_of(action)}
            try:
                await cluster.patch(change.at, _patch(item, values), dry=dry)
            except Conflict:
                continue
            return
        raise ActionFailed(f"{change.at.title} keeps being changed by others: it could not be changed")

    async def _restore(self, cluster: Cluster, action: Action, change: Change) -> bool:
        """Puts back the fields of one object; says whether there was anything to put back. Raises CompensationFailed."""
        for _ in range(_TRIES):
            item = await cluster.get(change.at)
            if item is None or item["metadata"]["uid"] != change.uid:
                if change.passing:
                    return False
                raise CompensationFailed(f"{change.at.title} was deleted or replaced meanwhile")
            changed = [
                field
                for field in change.fields
                if not same(field.path, found(item, field.path), field.before)
            ]
            if not changed and not _is_ours(item, action):
                return False
            # Without our annotation, and without that of an action after ours, it was never us.
            touched = _is_ours(item, action) or found(item, MARK_PATH) != change.mark
            others = [
                field
                for field in changed
                if not touched or not same(field.path, found(item, field.path), field.wanted)
            ]
            if others:
                raise CompensationFailed(
                    f"somebody else has changed {_paths(others)} of {change.at.title} meanwhile: it is left as it is",
                    hint="Look at the object, and decide by hand what it shall be.",
                )
            values = {field.path: field.before for field in changed}
            if _is_ours(item, action):
                values[MARK_PATH] = change.mark
            try:
                await cluster.patch(change.at, _patch(item, values))
            except Conflict:
                continue
            except ActionFailed as error:
                if await self._has_passed(cluster, change):
                    return False
                raise CompensationFailed(error.message, hint=error.advice) from error
            return True
        raise Unavailable(f"{change.at.title} keeps being changed by others")


def _patch(item: Json, values: Mapping[tuple[str, ...], Json]) -> dict[str, Json]:
    """The patch, bound to the object that was read: to its uid, and to its version."""
    try:
        patch = merge_patch(item, with_values(item, values))
    except KeyError:
        raise ActionFailed("a container that was there before is no longer there") from None
    meta = item["metadata"]
    patch.setdefault("metadata", {}).update(uid=meta["uid"], resourceVersion=meta["resourceVersion"])
    return patch


def _is_ours(item: Json, action: Action) -> bool:
    return bool(found(item, MARK_PATH) == mark_of(action))


def _all(item: Json, fields: Sequence[Field], value: _Value) -> bool:
    return all(same(field.path, found(item, field.path), value(field)) for field in fields)


def _paths(fields: Sequence[Field]) -> str:
    return ", ".join(shown(field.path) for field in fields)


def _titles(changes: Sequence[Change]) -> str:
    return ", ".join(change.at.title for change in changes)


def _shown(action: Action, value: Json) -> Json:
    """A value for people, by its hash where it may be secret."""
    if value is None or action.operation not in PRIVATE:
        return value
    return f"sha256:{content_hash(value)[:_HASH_SHOWN]}"


def _lines(action: Action, change: Change, field: Field) -> str:
    sides = (("-", field.before), ("+", field.wanted))
    where = f"{change.at.title} {shown(field.path)}"
    return "".join(f"{sign}{where}: {_shown(action, value)}\n" for sign, value in sides if value is not None)


def _details(changes: Sequence[Change]) -> dict[str, Json]:
    return {shown(field.path): field.wanted for change in changes for field in change.fields}
