"""Probes that packages bring: whatever they answer, a run goes on, and history stays small."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.rooms.verify.benchmark import measure

SHOP = Service(name="shop", owner="team", tier=1)
PROBES = (Probe(name="odd", kind="odd"), Probe(name="good", kind="good"))


class Answering:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Any:  # noqa: ARG002 - the port's shape
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def measured(answer: Any) -> Measurement:
    """What the odd probe found; the good one is never the worse for it."""
    probers: Any = {"odd": Answering(answer), "good": Answering(Measurement(figure=1))}
    found = asyncio.run(measure(SHOP, PROBES, probers, datetime(2026, 11, 21, 7, tzinfo=UTC)))
    assert found["good"] == Measurement(figure=1)
    return found["odd"]


@pytest.mark.parametrize(
    "answer",
    [None, 0.5, Measurement(figure="0.5"), Measurement(figure=Decimal("0.5")), Measurement(figure=True)],
)
def test_what_is_no_measurement_is_unknown_and_not_bad(answer: Any) -> None:
    assert measured(answer) == Measurement(note="its probe broke: TypeError")


@pytest.mark.parametrize("answer", [Measurement(failed=True, note="x" * 9_999), Unavailable("x" * 9_999)])
def test_a_note_stays_short(answer: Any) -> None:
    assert measured(answer).note == "x" * 200 + "…"
