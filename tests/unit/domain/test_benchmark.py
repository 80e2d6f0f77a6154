import math
from datetime import UTC, datetime

import pytest

from penelope.domain.benchmark import (
    LEAST_RUNS,
    WINDOW,
    Baseline,
    BenchmarkRun,
    Measurement,
    Probe,
    RunOutcome,
    Standing,
    SuiteName,
    Tolerance,
    Worse,
    compare,
    modified_z,
)
from penelope.domain.contract import Gravity
from penelope.kit.codec import from_data, to_data

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
USUAL = (9.8, 10.1, 10.0, 10.3, 9.9, 10.0, 10.2, 9.7, 10.0, 10.1, 9.9, 10.0)


def baseline(*figures: float) -> Baseline:
    return Baseline(
        service="shop", probe="x", figures=figures, runs=tuple(map(str, range(len(figures)))), version=7
    )


def standing(figure, *figures, **changes):
    probe = Probe(name="x", kind="http", **changes)
    return compare(probe, Measurement(figure=figure), baseline(*(figures or USUAL)))


def test_the_score_is_the_one_that_was_published():
    # Iglewicz and Hoaglin: 0.6745 (x - median) / MAD; by hand for a small window.
    figures = (-2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 100.0)
    assert modified_z(100.0, figures) == pytest.approx(0.6745 * 97 / 2)
    # Most are one value: the mean deviation takes the place of the median one.
    assert modified_z(5.0, (0.0, 0.0, 0.0, 0.0, 1.0)) == pytest.approx(5 / (1.253314 * 0.2))
    assert modified_z(1.0, (0.0, 0.0)) == math.inf
    assert modified_z(0.0, (0.0, 0.0)) == 0.0


@pytest.mark.parametrize(
    ("figure", "changes", "expected"),
    [
        (10.0, {}, Standing.SOUND),
        (10.9, {}, Standing.SOUND),  # an outlier, but within the 10 % that do not matter
        (20.0, {}, Standing.WORSE),
        (5.0, {}, Standing.SOUND),
        (5.0, {"worse": Worse.LOWER}, Standing.WORSE),
        (20.0, {"worse": Worse.LOWER}, Standing.SOUND),
        (5.0, {"worse": Worse.BOTH}, Standing.WORSE),
        (20.0, {"worse": Worse.BOTH}, Standing.WORSE),
        (20.0, {"tolerance": Tolerance(size=15, relative=False)}, Standing.SOUND),
        (None, {}, Standing.UNKNOWN),
        (math.nan, {}, Standing.UNKNOWN),
        (math.inf, {}, Standing.UNKNOWN),
    ],
)
def test_a_figure_is_worse_when_it_is_an_outlier_and_it_matters(figure, changes, expected):
    assert standing(figure, **changes).standing is expected


def test_a_wide_spread_excuses_what_a_narrow_one_does_not():
    wide = (5.0, 15.0, 9.0, 11.0, 7.0, 14.0, 10.0, 10.0, 6.0, 13.0, 8.0, 12.0)
    assert standing(14.0).standing is Standing.WORSE
    assert standing(14.0, *wide).standing is Standing.SOUND


def test_errors_where_there_never_were_any_count_beyond_the_tolerance():
    never = (0.0,) * LEAST_RUNS
    tolerance = Tolerance(size=0.01, relative=False)
    assert standing(0.005, *never, tolerance=tolerance).standing is Standing.SOUND
    found = standing(0.02, *never, tolerance=tolerance)
    assert found.standing is Standing.WORSE
    assert to_data(found)["score"] <= 2.0**53


def test_too_few_runs_are_no_baseline_and_neither_good_nor_bad():
    found = standing(1000.0, *USUAL[: LEAST_RUNS - 1])
    assert found.standing is Standing.UNKNOWN
    assert found.note == "has no baseline yet: 11 of 12 runs"
    assert standing(1000.0, *USUAL[:LEAST_RUNS]).standing is Standing.WORSE


def test_a_probe_that_fails_is_bad_without_any_baseline():
    probe = Probe(name="x", kind="http")
    found = compare(
        probe, Measurement(failed=True, note="answers with status 500"), Baseline(service="s", probe="x")
    )
    assert found.standing is Standing.FAILED
    assert found.bad


def run(*findings) -> BenchmarkRun:
    return BenchmarkRun(
        id="r", service="shop", suite=SuiteName.SMOKE, findings=findings, started_at=NOW, ended_at=NOW
    )


def test_nothing_compared_is_unknown_and_minor_troubles_do_not_count():
    sound, worse = standing(10.0), standing(20.0)
    minor, unknown = standing(20.0, severity=Gravity.MINOR), standing(None)
    assert run().outcome is RunOutcome.UNKNOWN
    assert run(unknown, minor).outcome is RunOutcome.UNKNOWN
    assert run(unknown, sound, minor).outcome is RunOutcome.PASSED
    assert run(sound, worse).outcome is RunOutcome.REGRESSED
    assert run(sound, worse).trouble == "x is 20, usually 10"
    assert run(sound, minor).trouble == ""
    assert from_data(BenchmarkRun, to_data(run(sound, worse))) == run(sound, worse)


def test_a_baseline_takes_each_run_once_and_looks_back_only_so_far():
    made = baseline()
    for number in range(WINDOW + 3):
        made = made.taken(float(number), f"run-{number}", NOW)
        assert made.taken(99.0, f"run-{number}", NOW) is made
    assert made.figures == tuple(map(float, range(3, WINDOW + 3)))
    assert len(made.runs) == WINDOW
    assert made.version == 7 + WINDOW + 3
    assert (made.middle, made.spread) == (27.5, 12.5)
    assert from_data(Baseline, to_data(made)) == made
