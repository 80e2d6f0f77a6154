"""For how long what was learned of a service is used, and what is said of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.analysis import AnalysisSpec, Noise, Tempering
from penelope.domain.calibration import FRESH_SECONDS, Learned, fit_for_use
from penelope.domain.deployment import CANARY, Course, Deployment, Stage, alike
from penelope.errors import InvalidRequest

AT = datetime(2026, 11, 1, tzinfo=UTC)
LEARNED = Learned(
    service="shop",
    deployment="deployment_1",
    at=AT,
    seconds=1800,
    requests=180_000,
    tempering=Tempering(errors=Noise(factor=3.25, information=0.5)),
    errors=True,
    latency=True,
)
CALIBRATION = Course(canary="b", control="a", stages=alike(), calibrates=True)


def test_what_is_fresh_is_used_and_says_from_where_it_is() -> None:
    used, said = fit_for_use(LEARNED, AT + timedelta(seconds=FRESH_SECONDS))
    assert used == LEARNED
    assert said == (
        "noise of errors: 3.2 times that of dice; of slow requests: none; from 180000 requests in 1800 s; "
        "learned 2026-11-01 00:00 UTC by deployment_1"
    )


def test_what_is_stale_too_little_or_nothing_is_not_used_and_said() -> None:
    for learned, later, why in (
        (LEARNED, timedelta(seconds=FRESH_SECONDS + 1), "older than 30 days"),
        (replace(LEARNED, errors=False, latency=False), timedelta(), "too little"),
        (None, timedelta(), "ever learned"),
    ):
        used, said = fit_for_use(learned, AT + later)
        assert used is None
        assert why in said
        assert "taken for none" in said


def test_a_part_that_could_not_be_learned_is_said() -> None:
    assert "errors: too little was seen" in replace(LEARNED, errors=False).words


def test_a_course_that_names_its_noise_is_not_tempered_by_another() -> None:
    begun = Deployment(
        id="d",
        service="shop",
        course=Course(canary="b", control="a"),
        created_by="anna",
        created_at=AT,
        learned=LEARNED,
    )
    own = Tempering(errors=Noise(factor=7.0))
    assert begun.tempering == LEARNED.tempering
    named = replace(begun.course, analysis=AnalysisSpec(tempering=own))
    assert replace(begun, course=named).tempering == own
    assert replace(begun, course=replace(begun.course, learned_noise=False)).tempering == Tempering()
    assert replace(begun, course=CALIBRATION).tempering == Tempering()
    assert replace(begun, learned=None).tempering == Tempering()


@pytest.mark.parametrize(
    "wrong",
    [
        {"stages": CANARY},
        {"stages": (Stage(weight=100, min_seconds=1800, max_seconds=3600),)},
        {"stages": (Stage(weight=0, min_seconds=1800, max_seconds=3600),)},
        {"stages": (Stage(weight=50, min_seconds=1800, max_seconds=3600, manual=True),)},
        {"stages": (Stage(weight=50, min_seconds=60, max_seconds=3600),)},
        {"stages": (Stage(weight=50, min_seconds=1800, max_seconds=900),)},
        {"interval_seconds": 31.0},
        {"auto_rollback": False},
    ],
)
def test_a_calibration_that_could_teach_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="calibration"):
        replace(CALIBRATION, **wrong)
