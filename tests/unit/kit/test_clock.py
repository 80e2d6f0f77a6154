from datetime import UTC, datetime, timedelta, timezone

from penelope.kit.clock import SystemClock, timestamp
from penelope.testing.clock import FakeClock


def test_the_system_clock_tells_utc():
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert before <= now <= datetime.now(UTC)


def test_a_timestamp_is_in_utc_with_microseconds_and_sorts_as_text():
    here = datetime(2026, 11, 21, 8, 0, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(here) == "2026-11-21T07:00:00.000000Z"
    assert (
        timestamp(here) < timestamp(here + timedelta(microseconds=1)) < timestamp(here + timedelta(seconds=1))
    )


def test_the_fake_clock_stands_until_it_is_moved():
    clock = FakeClock()
    start = clock.now()
    assert start.tzinfo is UTC
    assert clock.now() == start
    assert clock.advance(1.5) == clock.now() == start + timedelta(seconds=1.5)
    assert clock.advance(-1.5) == start
    assert FakeClock(start + timedelta(days=1)).now() == start + timedelta(days=1)
