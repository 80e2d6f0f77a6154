import pytest

from penelope.entry.cli.words import milliseconds, percent, seconds, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé ✓ 日本", "plain, ünïcödé ✓ 日本"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\r", r"two\nlines\r"),
        ("bell\a", r"bell\x07"),
        ("right\u202eleft", r"right\u202eleft"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\x9b2J", r"\x9b2J"),
        ("\ud800", r"\ud800"),
        (404, "404"),
    ],
)
def test_nothing_that_a_terminal_would_obey_stays(text: object, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.00 s"),
        (0.417, "0.42 s"),
        (25.14, "25.1 s"),
        (60, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations_are_shown_in_their_size(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.041, "41 ms"), (1.5, "1500 ms"), (None, "unknown")])
def test_short_durations_are_milliseconds(value: float | None, shown: str) -> None:
    assert milliseconds(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(1, "100 %"), (0.99999, "99.9 %"), (0.992, "99.2 %"), (0.0, "0.0 %")]
)
def test_only_all_is_called_all(share: float, shown: str) -> None:
    assert percent(share) == shown
