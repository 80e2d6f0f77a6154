"""Takes away for good what earlier actions on a target have put into its trash: only this gives the space back."""

import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.rooted import Root
from penelope.adapters.actions.trash import Label, bin_of, label_of, labelled, place_of, settle, size_of
from penelope.domain.action import Action, Difference, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json

SHORTEST_SECONDS = 86_400
_MOST_ACTIONS = 1000
_MOST_SHOWN = 100
_GOING = ".gone-"


class EmptyTrashParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What actions on this target put into the trash more than `older_than_seconds` ago (a day at least) goes for good,
    the oldest first. Those of the same incident stay, and so does what other targets keep in the same folder.
    """

    older_than_seconds: int


@dataclass(frozen=True, slots=True)
class Full:
    """The folder of one action, as it was seen."""

    label: Label
    size: int


def check(params: Mapping[str, Json]) -> None:
    """Raises InvalidPlaybook."""
    if read_params(EmptyTrashParams, params).older_than_seconds < SHORTEST_SECONDS:
        raise InvalidPlaybook(
            f"older_than_seconds is at least {SHORTEST_SECONDS}: what is young may yet be wanted back"
        )


class Emptying:
    """The operation `empty_trash`. A rollback under way holds the lease on its target, so that this waits for it, and its
    own incident's ways back are left alone. Whether a plan of another incident may still go back nobody tells an adapter:
    what is young stays for that, and plans are expected to take less time.
    """

    def __init__(self, keep: Keep, trash: Path, stop: threading.Event) -> None:
        self._keep = keep
        self._trash = trash
        self._stop = stop

    def snapshot(self, root: Root, action: Action) -> dict[str, Json]:
        with root.opened():
            found = self._old(action)[:_MOST_ACTIONS]
        listed = json.dumps([[item.label.key, item.label.at, item.size] for item in found]).encode()
        return {
            "list": self._keep.put(listed),
            "actions": len(found),
            "bytes": sum(item.size for item in found),
        }

    def preview(self, root: Root, action: Action, state: Mapping[str, Json]) -> Preview:
        with root.opened():
            left = [item for item in self._listed(action, state) if self._is_there(item)]
        lines = "".join(f"-{item.label.key}: {item.size} bytes\n" for item in left[:_MOST_SHOWN])
        more = f"-and {len(left) - _MOST_SHOWN} more\n" if len(left) > _MOST_SHOWN else ""
        size = sum(item.size for item in left)
        summary = (
            f"what {len(left)} actions have put into the trash, {size} bytes, would be taken away for good"
        )
        return Preview(summary=summary, diff=lines + more)

    def probe(self, root: Root, action: Action, state: Mapping[str, Json]) -> Progress:
        with root.opened():
            listed = self._listed(action, state)
            left = sum(self._is_there(item) for item in listed)
            going = any(self._aside(item).exists() for item in listed)
        if left == 0 and not going:
            return Progress.APPLIED
        return Progress.NOT_APPLIED if left == len(listed) and not going else Progress.PARTIAL

    def apply(self, root: Root, action: Action, state: Mapping[str, Json]) -> str:
        with root.opened():
            listed = self._listed(action, state)
        size = 0
        for item in listed:
            if self._stop.is_set():
                raise ActionFailed("it was given up")
            self._remove(item)
            size += item.size
        return f"what {len(listed)} actions had put into the trash, {size} bytes, is gone for good"

    def give_back(self, root: Root, action: Action, state: Mapping[str, Json]) -> bool:
        """Whether there was something to give back. Nothing can be: raises CompensationFailed where anything is gone."""
        gone = self.differences(root, action, state)
        if gone:
            raise CompensationFailed(
                f"what {len(gone)} actions had put into the trash is gone for good",
                hint="Only a backup brings it back; the rest of the plan can be taken back.",
            )
        return False

    def differences(self, root: Root, action: Action, state: Mapping[str, Json]) -> list[Difference]:
        with root.opened():
            gone = [item for item in self._listed(action, state) if not self._is_there(item)]
        return [
            Difference(subject=f"the trash of {item.label.key}", before="there", now="emptied")
            for item in gone
        ]

    def observe(self, root: Root, action: Action) -> dict[str, Json]:
        with root.opened():
            every = [size_of(folder) for folder, label in labelled(self._trash) if _is_of(label, action)]
            old = self._old(action)
        return {
            "actions": len(every),
            "bytes": sum(every),
            "old_actions": len(old),
            "old_bytes": sum(item.size for item in old),
        }

    def _old(self, action: Action) -> list[Full]:
        before = time.time() - read_params(EmptyTrashParams, action.params).older_than_seconds
        own = Label("", action.key, 0).incident
        found = [
            Full(label, size_of(folder))
            for folder, label in labelled(self._trash)
            if _is_of(label, action) and label.incident != own and label.at < before
        ]
        return sorted(found, key=lambda item: (item.label.at, item.label.key))

    def _listed(self, action: Action, state: Mapping[str, Json]) -> list[Full]:
        listed = json.loads(self._keep.get(str(state["list"])))
        return [Full(Label(place_of(action), key, at), size) for key, at, size in listed]

    def _is_there(self, item: Full) -> bool:
        """Whether the very folder that was seen is there; one that was filled anew is another."""
        return label_of(bin_of(self._trash, item.label.key)) == item.label

    def _aside(self, item: Full) -> Path:
        return self._trash / f"{_GOING}{bin_of(self._trash, item.label.key).name}"

    def _remove(self, item: Full) -> None:
        """In one step out of reach of whoever wants it back, who then knows that it is gone; only then bit by bit."""
        aside = self._aside(item)
        if aside.exists():
            shutil.rmtree(aside)
        if self._is_there(item):
            bin_of(self._trash, item.label.key).rename(aside)
            settle(self._trash)
            shutil.rmtree(aside)


def _is_of(label: Label, action: Action) -> bool:
    return label.place == place_of(action)
