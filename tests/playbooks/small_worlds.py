"""Worlds of files for the tests of the kit itself: a good one, and those that something is wrong with."""

# ruff: noqa: ARG002 - adapters and worlds are told more than these small ones use

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.domain.service import Service, Target
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.testing.worlds import World


class CardOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    folder: str


class WriteParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    text: str


class CardAdapter:
    """Writes a card (a file) whose text it replaces; beside it lies who wrote it last, and how often it was written."""

    name = "card"
    operations = MappingProxyType({"write": operation("Write a card", WriteParams, "write", tier=Tier.LOCAL)})

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Any]) -> None:
        require_operation(self.name, self.operations, operation)
        name = read_params(WriteParams, params).name
        if not name.isascii() or not name.isalnum() or len(name) > 20:
            raise InvalidPlaybook("a card has a plain name")

    async def snapshot(self, action: Action) -> Snapshot:
        card = self._card(action)
        return Snapshot(state={"text": _read(card)})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        return Preview(summary="a card would be written")

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return Progress.APPLIED if self._writer(action) == action.key else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        card = self._card(action)
        if self._writer(action) != action.key:
            text = read_params(WriteParams, action.params).text
            try:
                self._write(card, {"text": text, "by": action.key, "count": _counted(card) + 1})
            except (ValueError, OSError) as error:
                raise ActionFailed("the card cannot be written") from error
            await asyncio.sleep(0.05)
        return Effect(summary="written")

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        card = self._card(action)
        if self._writer(action) not in {action.key, None} and _read(card) != snapshot.state["text"]:
            raise CompensationFailed("somebody else wrote the card since")
        if self._writer(action) == action.key:
            self._write(card, {"text": snapshot.state["text"], "by": f"back from {action.key}", "count": 0})
        return Effect(summary="as before")

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        before, now = snapshot.state["text"], _read(self._card(action))
        return [] if before == now else [Difference(subject="text", before=before, now=now)]

    async def observe(self, action: Action) -> Mapping[str, Any]:
        return {"text": _read(self._card(action))}

    def _card(self, action: Action) -> Path:
        self.validate(action.operation, action.params)
        folder = Path(read_options(CardOptions, action.target).folder)
        return folder / read_params(WriteParams, action.params).name

    def _writer(self, action: Action) -> str | None:
        card = self._card(action)
        return json.loads(card.read_text())["by"] if card.exists() else None

    def _write(self, card: Path, content: dict[str, Any]) -> None:
        aside = card.with_suffix(".new")
        aside.write_text(json.dumps(content))
        aside.replace(card)


def _read(card: Path) -> str | None:
    return json.loads(card.read_text())["text"] if card.exists() else None


def _counted(card: Path) -> int:
    return json.loads(card.read_text()).get("count", 0) if card.exists() else 0


class LyingAdapter(CardAdapter):
    """Its probe always says that nothing has happened yet, and its execution does it whoever asks."""

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return Progress.NOT_APPLIED

    def _writer(self, action: Action) -> str | None:
        return None


class ForgetfulAdapter(CardAdapter):
    """Says that it has put back what was there, and has not."""

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        return Effect(summary="as before")

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        return []


class AddingAdapter(CardAdapter):
    """Adds to the card instead of replacing its text, each time that it is asked; its probe knows only the last."""

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        card = self._card(action)
        text = (_read(card) or "") + read_params(WriteParams, action.params).text
        self._write(card, {"text": text, "by": action.key})
        return Effect(summary="added")


class CrashingAdapter(CardAdapter):
    """Raises what is no error of ours."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        raise KeyError("surprise")


class SuddenAdapter(CardAdapter):
    """Takes the whole process with it."""

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        os._exit(3)


class HangingAdapter(CardAdapter):
    """Never comes back from its snapshot."""

    async def snapshot(self, action: Action) -> Snapshot:
        await asyncio.Event().wait()
        raise AssertionError


class CarelessAdapter(CardAdapter):
    """Believes every name that it is given, also one that leads out of its folder."""

    def validate(self, operation: str, params: Mapping[str, Any]) -> None:
        require_operation(self.name, self.operations, operation)
        read_params(WriteParams, params)

    def _write(self, card: Path, content: dict[str, Any]) -> None:
        aside = Path(f"{card}.new")
        aside.write_text(json.dumps(content))
        aside.replace(card)


class UnevenAdapter(CardAdapter):
    """Is in no hurry to tell, and with the second card neither to write nor to say that it has."""

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        await asyncio.sleep(0.8)
        return await super().probe(action, snapshot)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        pause = 0.8 if action.params["name"] == "two" else 0
        await asyncio.sleep(pause)
        effect = await super().execute(action, snapshot)
        await asyncio.sleep(2 * pause)
        return effect


class CardWorld(World):
    """Two cards on which "good" must stand."""

    playbook = "fix-cards"
    thing = "files"
    real = True
    signal_name = "CardsBroken"
    adapters: ClassVar[Mapping[str, Any]] = {"card": CardAdapter}

    async def open(self, folder: Path) -> None:
        self.folder = folder
        await self.reset()

    async def close(self) -> None:
        pass

    async def reset(self) -> None:
        for path in self.folder.glob("*"):
            path.unlink()
        self._put("good")

    async def break_it(self) -> None:
        self._put("bad")

    def _put(self, text: str) -> None:
        for name in ("one", "two"):
            (self.folder / name).write_text(json.dumps({"text": text, "by": "me"}))

    def service(self) -> Service:
        options = {"folder": str(self.folder)}
        names = ("board", "table")
        targets = {
            name: Target(name=name, service="cards", adapter="card", options=options) for name in names
        }
        return Service(name="cards", owner="team", tier=3, targets=targets)

    async def healthy(self) -> bool:
        return all(text == "good" for text in (await self.state()).values())

    async def state(self) -> Any:
        return {name: _read(self.folder / name) for name in ("one", "two")}

    async def changes(self) -> Mapping[str, Any]:
        return {"change.board.card": "one"}

    async def effects(self) -> Mapping[str, int]:
        return {name: _counted(self.folder / name) for name in ("one", "two")}


class UnevenWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": UnevenAdapter}


class UncountedWorld(CardWorld):
    """Does not count: an adapter's own bookkeeping is no proof."""

    async def effects(self) -> Mapping[str, int]:
        return {}


class LyingWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": LyingAdapter}


class ForgetfulWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": ForgetfulAdapter}


class AddingWorld(UncountedWorld):
    """A card is good when its text begins so."""

    adapters: ClassVar[Mapping[str, Any]] = {"card": AddingAdapter}

    def _put(self, text: str) -> None:
        for name in ("one", "two"):
            (self.folder / name).write_text(json.dumps({"text": "" if text == "bad" else text, "by": "me"}))

    async def healthy(self) -> bool:
        return all((text or "").startswith("good") for text in (await self.state()).values())


class CrashingWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": CrashingAdapter}


class SuddenWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": SuddenAdapter}


class HangingWorld(CardWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": HangingAdapter}


class BlindWorld(CardWorld):
    """Cannot be looked at once it is healed."""

    async def figures(self) -> Mapping[str, Any]:
        if await self.healthy():
            raise RuntimeError("the instruments are broken")
        return await super().figures()


class CarelessWorld(UncountedWorld):
    adapters: ClassVar[Mapping[str, Any]] = {"card": CarelessAdapter}


class IncurableWorld(CardWorld):
    """Stays ill whatever is done, though its figures say otherwise."""

    async def healthy(self) -> bool:
        return False

    async def figures(self) -> Mapping[str, Any]:
        from penelope.testing.metrics import figures  # noqa: PLC0415 - for this world alone

        return {"a": figures(100, 0, 0.02)}


class AbsentWorld(CardWorld):
    async def open(self, folder: Path) -> None:
        from penelope.errors import Unavailable  # noqa: PLC0415 - for this world alone

        raise Unavailable("the wheel of cards is not installed")
