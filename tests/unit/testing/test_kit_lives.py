"""The process that lives are forked from, and what becomes of trials where it does not come up."""

import asyncio
import sys
from pathlib import Path

import pytest

from penelope.testing.kit import subject_of, trials
from penelope.testing.kit_nursery import Nursery
from penelope.testing.kit_session import Session


def test_a_life_that_was_given_up_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A trial that takes too long is cancelled, wherever it waits."""

    async def story() -> None:
        nursery = Nursery(tmp_path / "log")
        await nursery.start()
        try:
            await nursery.begin(tmp_path / "no-brief")
            assert nursery.child > 0
            await nursery.begin(tmp_path / "no-brief")  # nobody has heard how the first one ended
            assert await nursery.ended() == 1
            unborn = asyncio.create_task(nursery.begin(tmp_path / "no-brief"))
            await asyncio.sleep(0)
            unborn.cancel()
            await asyncio.wait([unborn])
            await nursery.begin(tmp_path / "no-brief")
            assert await nursery.ended() == 1
            assert nursery.child == 0
        finally:
            await nursery.stop()

    asyncio.run(asyncio.wait_for(story(), 120))


@pytest.mark.parametrize("script", ["exit 3", "read line; exit 3"])
def test_a_kit_that_does_not_come_up_is_no_reason_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Only a world that cannot be had here is: else nobody would see that nothing was tried at all."""
    trial = trials(subject_of("fix-stuck-jobs"), quick=True)[0]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    session = Session()
    try:
        with pytest.raises(AssertionError, match="the kit itself does not come up"):
            session.run(trial)
    finally:
        session.close()
