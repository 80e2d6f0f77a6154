"""Evaluators of Rego are let go by the thread that made them, whoever collects what used them."""

import asyncio
import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import regorus

from penelope.adapters.policy.cel import EXAMPLE
from penelope.adapters.policy.context_rego import load_governor
from penelope.adapters.policy.evaluator import evaluator
from penelope.adapters.policy.rego import load_rego
from penelope.domain.access import AccessQuestion, Asset, Classification, Subject, Verb

QUESTION = AccessQuestion(
    subject=Subject(actor="ann", role="analyst"),
    verb=Verb.DISCOVER,
    asset=Asset(name="orders", kind="cube", classification=Classification.INTERNAL),
)
RULE = """package penelope.gate.never

import rego.v1

default allow := false

reasons contains "never"
"""


def used(folder: Path, *, bare: bool) -> list[object]:
    """What has judged on this thread, in a circle, so that only the collector lets it go."""
    governor = load_governor([])
    (access,) = asyncio.run(governor.judge([QUESTION]))
    assert access.allow
    (folder / "never.rego").write_text(RULE, encoding="utf-8")
    rego = load_rego([folder])
    assert [item.message for item in rego.objections(EXAMPLE)] == ["never"]
    circle: list[object] = [governor, rego]
    circle.append(circle)
    if bare:
        circle.append(regorus.Engine())
    return circle


@pytest.mark.parametrize("bare", [False, True])
def test_whoever_collects_what_has_judged_drops_no_evaluator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, bare: bool
) -> None:
    """An evaluator that is held itself is dropped by the wrong thread, which is told so: what is tested here can fail."""
    told: list[str] = []
    with ThreadPoolExecutor(1) as maker:
        held = [maker.submit(used, tmp_path, bare=bare).result()]
        monkeypatch.setattr(sys, "unraisablehook", lambda given: told.append(str(given.exc_value)))
        held.clear()
        gc.collect()
        monkeypatch.undo()
    assert any("unsendable" in each for each in told) is bare


def test_a_thread_keeps_those_that_it_used_last() -> None:
    sources = [((f"{number}.rego", f"package p{number}\n"),) for number in range(20)]
    with ThreadPoolExecutor(1) as thread:
        (first, again) = thread.submit(lambda: (evaluator(sources[0]), evaluator(sources[0]))).result()
        assert first is again
        del first, again
        numbers = thread.submit(lambda: [id(evaluator(each)) for each in sources[-8:]]).result()
        assert thread.submit(lambda: [id(evaluator(each)) for each in sources[-8:]]).result() == numbers
