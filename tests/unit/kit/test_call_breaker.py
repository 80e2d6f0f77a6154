"""A call breaker opens for what failed lately, and lets one call through at a time to try."""

from penelope.kit.call_breaker import CallBreaker


class Seconds:
    def __init__(self) -> None:
        self.value = 100.0

    def __call__(self) -> float:
        return self.value


def made(seconds: Seconds) -> CallBreaker:
    return CallBreaker(failures=3, window_seconds=10, rest_seconds=5, now=seconds)


def test_failures_that_lie_apart_do_not_open_it() -> None:
    seconds = Seconds()
    breaker = made(seconds)
    for _ in range(10):
        assert breaker.allows()
        breaker.failed()
        seconds.value += 6
    assert not breaker.open


def test_failures_in_a_row_open_it_and_one_try_at_a_time_is_let_through() -> None:
    seconds = Seconds()
    breaker = made(seconds)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    assert breaker.open
    assert [breaker.allows() for _ in range(3)] == [False] * 3
    seconds.value += 5
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    seconds.value += 4
    assert not breaker.allows()
    seconds.value += 1
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.open
    breaker.failed()
    assert breaker.allows()


def test_a_try_that_never_ends_does_not_keep_it_closed_for_good() -> None:
    seconds = Seconds()
    breaker = made(seconds)
    for _ in range(3):
        breaker.failed()
    seconds.value += 5
    assert breaker.allows()
    seconds.value += 5
    assert breaker.allows()
