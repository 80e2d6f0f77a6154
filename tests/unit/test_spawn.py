"""A program inherits what it is given and nothing else, on both event loops."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from penelope.kit.spawn import spawn

_TELL = "import json, os; print(json.dumps([int(name) for name in os.listdir('/dev/fd')]))"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_program_inherits_what_it_is_given_and_nothing_else(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    given, other = (os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in ("given", "other"))
    # As a library in C opens files, and as whoever started this process may have left some.
    os.set_inheritable(other, True)

    async def told() -> list[int]:
        process = await spawn(
            sys.executable, "-S", "-c", _TELL, stdout=asyncio.subprocess.PIPE, pass_fds=(given,)
        )
        out, _ = await process.communicate()
        return list(json.loads(out))

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            open_there = runner.run(told())
        assert given in open_there
        assert other not in open_there
    finally:
        os.close(given)
        os.close(other)
