"""kill -9 while payloads move into the archive: none is lost, and whatever runs next ends the work."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

_HERE = Path(__file__).parents[1] / "unit" / "archive"
_KILLS = 12

_PROGRAM = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vault import fill_with_old, play

async def scene(vault):
    await vault.fill(4096, "more")
    await vault.log_all()
    vault.clock.advance(91 * 86_400)
    print("ready", flush=True)
    print(await vault.archiver.archive_once(vault.clock.now()), flush=True)

async def again(vault):
    vault.clock.advance(91 * 86_400)
    print("ready", flush=True)
    print(await vault.archiver.archive_once(vault.clock.now()), flush=True)

folder = Path(sys.argv[3])
if sys.argv[4] == "first":
    asyncio.run(fill_with_old(sys.argv[2], folder))
play(scene if sys.argv[4] == "first" else again, sys.argv[2], folder)
"""

pytestmark = pytest.mark.chaos


def test_nothing_is_lost(databases: tuple[str, str], tmp_path: Path) -> None:
    chance = random.Random(4711)
    kills, which = 0, "first"
    deadline = time.monotonic() + 900
    while True:
        assert time.monotonic() < deadline
        command = [sys.executable, "-c", _PROGRAM, str(_HERE), databases[0], str(tmp_path / "vault"), which]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if kills < _KILLS:
                time.sleep(chance.uniform(0.0, 0.25))
                process.kill()
                kills += 1
            ended = process.stdout.read()
        which = "again"
        if kills >= _KILLS and ended:
            break
    asyncio.run(_look(databases[0], tmp_path / "vault"))


async def _look(url: str, folder: Path) -> None:
    sys.path.insert(0, str(_HERE))
    from vault import open_vault  # noqa: PLC0415 - it lies with the tests of the archive

    async with open_vault(url, folder) as vault:
        entries = [entry for entry in await vault.entries() if entry.kind == "plan"]
        assert [entry.erased for entry in entries[:8192]] == [True] * 8192
        filled = await vault.recall.filled(entries)
        assert [entry.reason for entry in filled[:4106]] == [f"the error rate is {n}" for n in range(4106)]
        assert not any(entry.erased for entry in filled)
        assert len(vault.files) == await vault.archiver.verify_all() == 2
        assert await vault.flaws() == []
