"""The gate's last rule: what was tried decides, and what could not be tried is noted."""

from datetime import UTC, datetime

import pytest

from penelope.domain.gate import Ruling
from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome
from penelope.domain.trial import ActionPreview, PlanPreview, Trial
from penelope.rooms.gate.trial import TrialRule
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
KNOWN = ActionPreview(key="a", name="patch", summary="1 file would be changed")
AWAY = ActionPreview(key="b", name="restart", missing="nobody answers")
WRONG = ActionPreview(key="c", name="write", missing="no such file", refused=True)


def held(outcome: RehearsalOutcome) -> Rehearsal:
    return Rehearsal(outcome=outcome, reason="as told")


def trial(*actions: ActionPreview, rehearsal: Rehearsal | None = None) -> Trial:
    return Trial(preview=PlanPreview(actions=actions, taken_at=NOW), rehearsal=rehearsal)


@pytest.mark.parametrize(
    ("tried", "ruling", "noted", "reason"),
    [
        (None, Ruling.REFUSE, False, "nobody has tried the plan"),
        (trial(KNOWN), Ruling.PASS, False, "1 of 1 actions previewed"),
        (
            trial(KNOWN, AWAY),
            Ruling.PASS,
            True,
            "1 of 2 actions previewed; restart is not previewed: nobody answers",
        ),
        (trial(AWAY, WRONG), Ruling.REFUSE, False, "write cannot be done: no such file"),
        (
            trial(KNOWN, rehearsal=held(RehearsalOutcome.PASSED)),
            Ruling.PASS,
            False,
            "1 of 1 actions previewed; passed on the twin: as told",
        ),
        (
            trial(KNOWN, rehearsal=held(RehearsalOutcome.NOT_POSSIBLE)),
            Ruling.PASS,
            True,
            "1 of 1 actions previewed; not possible on the twin: as told",
        ),
        (
            trial(KNOWN, rehearsal=held(RehearsalOutcome.FAILED)),
            Ruling.REFUSE,
            False,
            "the rehearsal failed: as told",
        ),
    ],
)
def test_what_was_tried_decides(tried: Trial | None, ruling: Ruling, *, noted: bool, reason: str) -> None:
    verdict = TrialRule().check(passage(planned({}), NOW, trial=tried))
    assert (verdict.ruling, verdict.noted, verdict.reason) == (ruling, noted, reason)
    assert not verdict.final
