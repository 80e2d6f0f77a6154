"""Confidence held against what came of it."""

import pytest

from penelope.rooms.learn.calibration import Prediction, calibration


def predictions(*pairs: tuple[float, int, int]) -> list[Prediction]:
    """Of each confidence so many that came true, and so many that did not."""
    return [
        Prediction(confidence=confidence, verified=number < well)
        for confidence, well, badly in pairs
        for number in range(well + badly)
    ]


def test_nothing_is_said_of_nothing() -> None:
    found = calibration([])
    assert (found.count, found.brier, found.expected_error, found.base_rate, found.curve) == (
        0,
        None,
        None,
        None,
        (),
    )


def test_who_is_as_sure_as_right_has_no_error() -> None:
    found = calibration(predictions((0.75, 75, 25), (0.25, 25, 75)))
    assert found.expected_error == pytest.approx(0)
    assert found.brier == pytest.approx(0.75 * 0.25)
    assert found.base_rate == 0.5
    low, high = found.curve
    assert (low.low, low.high, low.count, low.predicted, low.observed) == (0.2, 0.3, 100, 0.25, 0.25)
    assert high.interval == pytest.approx((0.657, 0.825), abs=0.001)


def test_who_is_too_sure_is_told_by_how_much() -> None:
    found = calibration(predictions((0.95, 50, 50), (0.5, 50, 50)))
    assert found.expected_error == pytest.approx(0.225)
    assert found.brier == pytest.approx((100 * (0.05**2 + 0.95**2) / 2 + 25) / 200)


def test_both_ends_have_a_bin() -> None:
    found = calibration(predictions((0.0, 0, 1), (1.0, 1, 0)))
    assert [(item.low, item.count) for item in found.curve] == [(0.0, 1), (0.9, 1)]
    assert (found.brier, found.expected_error) == (0, 0)
