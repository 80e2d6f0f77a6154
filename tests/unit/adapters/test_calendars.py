"""Calendars: what they cover, in which zone, what they may hold, and what is believed once they cannot be read."""

import asyncio
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from penelope.adapters.calendars.ical import MAX_BYTES, parsed, spans
from penelope.adapters.calendars.shelf import Shelf
from penelope.bootstrap.resting import calendars_of
from penelope.domain.signal import Severity
from penelope.errors import BadSettings
from penelope.settings import Settings
from penelope.testing.clock import FakeClock

BERLIN = ZoneInfo("Europe/Berlin")
FREEZE = "DTSTART:20261121T060000Z\nDTEND:20261121T080000Z"
NIGHT = "DTSTART;TZID=Europe/Berlin:20200101T{}\nDTEND;TZID=Europe/Berlin:2020010{}\nRRULE:FREQ=DAILY"


def ics(*events: str) -> bytes:
    inner = "".join(
        f"BEGIN:VEVENT\nUID:{number}\nSUMMARY:Pause {number}\n{event}\nEND:VEVENT\n"
        for number, event in enumerate(events)
    )
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:test\n{inner}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


def covered(event: str, start: datetime, days: int = 1, zone: ZoneInfo = BERLIN) -> list[tuple[str, str]]:
    """Starts and ends, in UTC, of what lies within the days."""
    end = start + timedelta(days=days)
    found = spans(parsed(ics(event)), zone, start, end)
    return [
        (f"{item.start:%d %H:%M}", f"{item.end:%d %H:%M}")
        for item in found
        if item.start < end and item.end > start
    ]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def listed(folder: Path, *rules: str) -> Path:
    file = folder / "calendars.yaml"
    inner = "\n".join(f"  - {{{rule}}}" for rule in rules)
    file.write_text(f"apiVersion: penelope.dev/v1\nkind: Calendars\ncalendars:\n{inner}\n")
    return file


# --- times ------------------------------------------------------------------------------------------------


def test_night_hours_follow_the_clock_on_the_wall_when_it_is_set_back_and_forward() -> None:
    night = NIGHT.format("220000", "2T060000")
    assert covered(night, day("2026-10-24T12:00")) == [("24 20:00", "25 05:00")]
    assert covered(night, day("2026-03-28T12:00")) == [("28 21:00", "29 04:00")]


def test_a_time_that_the_clock_skips_is_still_covered() -> None:
    """02:30 does not exist on 29 March 2026; the window begins when the clock would have shown it."""
    assert covered(NIGHT.format("023000", "1T040000"), day("2026-03-29")) == [("29 01:30", "29 02:00")]


def test_a_time_that_comes_twice_is_covered_from_the_first_one_on() -> None:
    assert covered(NIGHT.format("023000", "1T040000"), day("2026-10-25")) == [("25 00:30", "25 03:00")]


def test_whole_days_are_days_of_the_calendar_s_zone() -> None:
    whole = "DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227"
    assert covered(whole, day("2026-12-24")) == [("23 23:00", "26 23:00")]
    assert covered(whole, day("2026-12-24"), zone=ZoneInfo("UTC")) == [("24 00:00", "27 00:00")]
    assert covered("DTSTART;VALUE=DATE:20261224", day("2026-12-24")) == [("23 23:00", "24 23:00")]


def test_times_without_a_zone_are_in_the_calendar_s() -> None:
    floating = "DTSTART:20261121T060000\nDTEND:20261121T080000"
    assert covered(floating, day("2026-11-21")) == [("21 05:00", "21 07:00")]


def test_exceptions_and_cancelled_events_cover_nothing() -> None:
    friday = "DTSTART:20261106T120000Z\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;BYDAY=FR\nEXDATE:20261120T120000Z"
    assert covered(friday, day("2026-11-13")) == [("13 12:00", "13 14:00")]
    assert covered(friday, day("2026-11-20")) == []
    assert covered(f"{FREEZE}\nSTATUS:CANCELLED", day("2026-11-21")) == []


def test_a_rule_without_an_end_costs_no_more_than_its_days() -> None:
    assert len(covered(NIGHT.format("220000", "2T060000"), day("2090-01-01"), days=8)) in {8, 9}


# --- what is not believed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "not one whole"),
        (b"<html>sign in</html>", "not one whole"),
        (ics(FREEZE)[:-40], "not one whole"),
        (ics("DTSTART:20261121T060000Z"), "has no end"),
        (ics("DTEND:20261121T060000Z"), "has no start"),
        (ics("DTSTART:20261121T060000Z\nDTEND:20261121T050000Z"), "ends before it begins"),
        (ics("DTSTART:soon\nDTEND:20261121T050000Z"), "cannot be read whole"),
        (ics(f"{FREEZE}\nRRULE:FREQ=NEVER"), "cannot be read whole"),
        (ics(f"{FREEZE}\nRRULE:FREQ=SECONDLY"), "more often than daily"),
        (
            ics(f"{FREEZE}\nRRULE:FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE={','.join(map(str, range(60)))}"),
            "24 times",
        ),
        (ics("DTSTART;TZID=Mars/Olympus:20261121T06\nDTEND:20261121T080000Z"), "cannot be read"),
        (
            ics("DTSTART;TZID=Mars/Olympus:20261121T060000\nDTEND;TZID=Mars/Olympus:20261121T080000"),
            "unknown time zone",
        ),
        (ics(f"{FREEZE}\nRRULE:FREQ=DAILY\nEXDATE;TZID=Mars/Olympus:20261122T060000"), "unknown time zone"),
        (ics(f"{FREEZE}\nRDATE;TZID=Mars/Olympus:20261122T060000"), "unknown time zone"),
        (ics(f"{FREEZE}\nRRULE:FREQ=DAILY;INTERVAL=0"), "without going on"),
        (ics(f"{FREEZE}\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), "picks days of a month"),
        (ics(f"{FREEZE}\nRRULE:FREQ=DAILY;BYMONTH=13"), "a month that there is not"),
        (b"BEGIN:VTODO\r\nUID:1\r\nEND:VTODO\r\n", "not one whole"),
        (ics(*[FREEZE] * 501), "more than 500"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_a_calendar_that_is_not_understood_whole_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parsed(text)


HOURS = ",".join(map(str, range(24)))


@pytest.mark.parametrize(
    "events",
    [
        # Each would be gone through for minutes, while nothing else of the server runs well.
        (f"DTSTART:19000101T000000Z\nDURATION:PT1M\nRRULE:FREQ=DAILY;BYHOUR={HOURS}",),
        (f"DTSTART:00010101T000000Z\nDURATION:PT1M\nRRULE:FREQ=DAILY;COUNT=99999999;BYHOUR={HOURS}",),
        (f"{FREEZE}\nRRULE:FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",) * 51,
        (f"{FREEZE}\nRRULE:FREQ=MONTHLY;BYDAY=6MO",) * 51,
    ],
)
def test_rules_that_take_long_to_go_through_are_refused(events: tuple[str, ...]) -> None:
    calendar = parsed(ics(*events))
    with pytest.raises(ValueError, match="rules"):
        spans(calendar, BERLIN, day("2026-11-21"), day("2026-11-29"))


def test_a_day_of_the_month_may_be_picked() -> None:
    second = "DTSTART:20200114T060000Z\nDURATION:PT2H\nRRULE:FREQ=MONTHLY;BYDAY=2TU"
    assert covered(second, day("2026-11-01"), days=30) == [("10 06:00", "10 08:00")]


# --- the shelf --------------------------------------------------------------------------------------------


def test_a_pause_ends_when_the_last_of_those_that_touch_does(tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_bytes(
        ics(
            FREEZE,
            "DTSTART:20261121T080000Z\nDTEND:20261121T090000Z",
            "DTSTART:20261121T100000Z\nDURATION:PT1H",
        )
    )
    file = listed(tmp_path, "name: freeze, source: a.ics, passes: critical")
    [pause] = Shelf(file, tmp_path, FakeClock()).pauses("shop", FakeClock().now())
    assert (pause.calendar, pause.title, pause.passes) == ("freeze", "Pause 0", Severity.CRITICAL)
    assert pause.until == day("2026-11-21T09:00")


def test_a_calendar_is_for_its_services(tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_bytes(ics(FREEZE))
    shelf = Shelf(
        listed(tmp_path, "name: freeze, source: a.ics, services: [shop]"), tmp_path, clock := FakeClock()
    )
    assert shelf.pauses("shop", clock.now())
    assert not shelf.pauses("bakery", clock.now())
    assert not shelf.pauses("shop", clock.now() + timedelta(hours=1))


@pytest.mark.parametrize(
    "rule",
    ["name: x, source: missing.ics", "name: x, source: bad.ics", "name: x, source: a.ics, timezone: Mars/X"],
)
def test_what_cannot_be_read_at_start_stops_the_start(rule: str, tmp_path: Path) -> None:
    (tmp_path / "bad.ics").write_bytes(b"<html>")
    with pytest.raises(BadSettings):
        Shelf(listed(tmp_path, rule), tmp_path, FakeClock())


def test_the_last_good_copy_is_believed_until_it_is_stale(tmp_path: Path) -> None:
    source = tmp_path / "a.ics"
    source.write_bytes(ics("DTSTART:20300101T000000Z\nDURATION:PT1H"))
    clock = FakeClock()
    shelf = Shelf(listed(tmp_path, "name: freeze, source: a.ics, stale_after: 2h"), tmp_path, clock)
    source.write_bytes(b"<html>")
    asyncio.run(shelf.renew())
    assert shelf.pauses("shop", clock.now()) == []
    [pause] = shelf.pauses("shop", clock.advance(7201))
    assert pause.until is None
    assert "not one whole iCalendar object" in pause.title


def test_nobody_knows_beyond_the_horizon(tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_bytes(ics(FREEZE))
    file = listed(tmp_path, "name: freeze, source: a.ics, stale_after: 9000h")
    [pause] = Shelf(file, tmp_path, clock := FakeClock()).pauses("shop", clock.advance(9 * 86400))
    assert (pause.until, pause.title) == (None, "it was not worked out for this moment")


class Source(http.server.BaseHTTPRequestHandler):
    status, body = 200, ics(FREEZE)

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(status: int = 200, body: bytes = ics(FREEZE)) -> Iterator[str]:
    handler = type("Handler", (Source,), {"status": status, "body": body})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/team.ics?token=hunter2"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_is_fetched_and_outlasts_a_restart(tmp_path: Path) -> None:
    clock = FakeClock(datetime.now(UTC))
    with serving(body=ics("DTSTART:20300101T000000Z\nDURATION:PT1H")) as address:
        file = listed(tmp_path, f"name: team, source: '{address}', stale_after: 2h")
        shelf = Shelf(file, tmp_path / "cache", clock)
        assert [item.title for item in shelf.pauses("shop", clock.now())] == ["it was not read yet"]
        asyncio.run(shelf.renew())
        assert shelf.pauses("shop", clock.now()) == []
    again = Shelf(file, tmp_path / "cache", clock)
    assert again.pauses("shop", clock.now()) == []
    asyncio.run(again.renew())
    assert again.pauses("shop", clock.now()) == []
    [copy] = (tmp_path / "cache").iterdir()
    os.utime(copy, times=(0, clock.now().timestamp() - 7300))
    [pause] = Shelf(file, tmp_path / "cache", clock).pauses("shop", clock.now())
    assert pause.until is None
    assert "hunter2" not in pause.title


def test_one_calendar_that_breaks_does_not_keep_the_others_from_being_renewed(tmp_path: Path) -> None:
    file = listed(tmp_path, "name: bad, source: 'http://calendar:port/'", "name: good, source: a.ics")
    (tmp_path / "a.ics").write_bytes(ics(FREEZE))
    shelf = Shelf(file, tmp_path / "cache", clock := FakeClock())
    (tmp_path / "a.ics").write_bytes(ics())
    asyncio.run(shelf.renew())
    [pause] = shelf.pauses("shop", clock.now())
    assert (pause.calendar, pause.title) == ("bad", "it cannot be read (InvalidURL)")


def test_a_service_that_nobody_knows_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_bytes(ics(FREEZE))
    file = listed(tmp_path, "name: freeze, source: a.ics, services: [shop, paymnets]")
    settings = Settings.model_validate({"rest": {"calendars": file, "cache": tmp_path / "cache"}})

    async def start() -> None:
        async with AsyncExitStack() as stack:
            await calendars_of(stack, settings, {"shop", "payments"}, FakeClock())

    with pytest.raises(BadSettings, match="paymnets"):
        asyncio.run(start())


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b"", "answers 500"),
        (200, b"<html>", "not one whole"),
        (200, b"x" * (MAX_BYTES * 3), "larger than"),
    ],
)
def test_an_answer_that_is_no_calendar_is_not_kept(
    status: int, body: bytes, told: str, tmp_path: Path
) -> None:
    with serving(status, body) as address:
        shelf = Shelf(listed(tmp_path, f"name: team, source: '{address}'"), tmp_path / "cache", FakeClock())
        asyncio.run(shelf.renew())
    [pause] = shelf.pauses("shop", FakeClock().now())
    assert told in pause.title
    assert not (tmp_path / "cache").exists()
