"""Benches of the adapter for commands: real programs that keep a value in a file."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions.command import CommandAdapter
from penelope.domain.action import Snapshot

SCRIPTS = {
    "set": 'echo half > value; if [ -e stall ]; then sleep 60; fi; echo "$1" > value; echo "$1" >> runs',
    "probe": 'case "$(cat value)" in "$1") exit 0;; old) exit 1;; half) exit 2;; *) exit 9;; esac',
    "undo": "echo old > value",
    "observe": "cat value",
}


def programs(folder: Path) -> dict[str, str]:
    """The paths of the scripts, each made to work in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, body in SCRIPTS.items():
        path = folder / f"{name}.sh"
        path.write_text(f"#!/bin/sh\ncd {folder} || exit 9\n{body}\n")
        path.chmod(0o755)
        paths[name] = str(path)
    (folder / "value").write_text("old\n")
    (folder / "runs").write_text("")
    return paths


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    paths = programs(folder / "bin")
    words = {"argv": ["{value}"]}
    rule = {
        "program": paths["set"],
        **words,
        "arguments": {"value": {"pattern": "[a-z]+"}},
        "probe": {"program": paths["probe"], **words},
        "undo": {"program": paths["undo"]},
        "observe": {"program": paths["observe"]},
        "resumable": True,
        **changes,
    }
    return {"commands": {"set": rule}, "receipts": str(folder / "receipts")}


def command(request: pytest.FixtureRequest) -> Bench:
    folder: Path = request.getfixturevalue("tmp_path")
    params = {"command": "set", "arguments": {"value": "new"}}
    action = an_action("command", "run", options(folder), params)
    adapter = CommandAdapter(folder / "unused")
    file = folder / "file"
    file.write_text("")

    async def half(snapshot: Snapshot) -> None:
        stall = folder / "bin" / "stall"
        stall.touch()
        running = asyncio.ensure_future(adapter.execute(action, snapshot))
        while (folder / "bin" / "value").read_text() != "half\n":  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})
        stall.unlink()

    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: len((folder / "bin" / "runs").read_text().split()),
        shown=("output",),
        unreachable=(adapter, with_options(action, receipts=str(file / "below"))),
        half=half,
    )


BENCHES = [command]
HALVED = [command]
"""Commands whose run was killed half way."""
