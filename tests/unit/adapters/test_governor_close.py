"""The embedded evaluator of a policy is let go by the thread that made it."""

import asyncio
import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from penelope.adapters.policy.context_rego import EmbeddedGovernor, load_governor
from penelope.domain.access import AccessQuestion, Asset, Classification, Subject, Verb

QUESTION = AccessQuestion(
    subject=Subject(actor="ann", role="analyst"),
    verb=Verb.DISCOVER,
    asset=Asset(name="orders", kind="cube", classification=Classification.INTERNAL),
)


def used() -> list[EmbeddedGovernor]:
    governor = load_governor([])
    (access,) = asyncio.run(governor.judge([QUESTION]))
    assert access.allow
    return [governor]


@pytest.mark.parametrize("closed", [True, False])
def test_whoever_collects_a_closed_one_drops_no_evaluator(
    monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """Without closing, the thread that drops it is told that it must not: what is tested here can fail."""
    told: list[str] = []
    with ThreadPoolExecutor(1) as maker:
        held = maker.submit(used).result()
        if closed:
            maker.submit(held[0].close).result()
        monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(str(given.exc_value)))
        held.clear()
        gc.collect()
        monkeypatch.undo()
    assert any("unsendable" in each for each in told) is not closed


def test_a_closed_one_that_is_asked_again_answers() -> None:
    (governor,) = used()
    governor.close()
    governor.close()
    other = AccessQuestion(
        subject=Subject(actor="ivo", role="nobody"), verb=QUESTION.verb, asset=QUESTION.asset
    )
    (access,) = asyncio.run(governor.judge([other]))
    assert not access.allow
    assert not access.failed
    governor.close()
