"""Rest: pauses refuse unless the severity passes them, a calendar that does not know refuses, a healed service waits."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.gate import GateVerdict, Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.signal import Severity
from penelope.rooms.gate.ports import Pause
from penelope.rooms.gate.rest import Rest
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
FREEZE = Pause(calendar="freeze", title="Year end", until=LATER)
QUIET = Pause(calendar="quiet", title="Night", until=NOW + timedelta(hours=1), passes=Severity.ERROR)
UNKNOWN = Pause(calendar="lost", title="its source does not answer", until=None, passes=Severity.INFO)


class Written:
    def __init__(self, *pauses: Pause) -> None:
        self.found = pauses

    def pauses(self, service: str, moment: datetime) -> Sequence[Pause]:
        assert (service, moment) == ("shop", NOW)
        return self.found


def rest(*pauses: Pause) -> Rest:
    return Rest(calendars=Written(*pauses), cooldown_seconds=60)


def request(severity: Severity = Severity.WARNING, healed_seconds_ago: float | None = None):
    given = passage(planned({}), NOW)
    healed = () if healed_seconds_ago is None else (NOW - timedelta(seconds=healed_seconds_ago),)
    record = PlaybookRecord(playbook="fix", service="shop", healed_at=max(healed, default=None))
    service = replace(given.service, name="shop")
    return replace(given, incident=replace(given.incident, severity=severity), service=service, record=record)


def test_without_pauses_it_passes() -> None:
    assert rest().check(request()).ruling is Ruling.PASS


def test_a_pause_refuses_and_says_until_when() -> None:
    verdict = rest(FREEZE, QUIET).check(request())
    assert verdict.ruling is Ruling.REFUSE
    assert verdict.until == LATER
    assert "Year end (freeze) until 2026-11-21 09:00:00 UTC" in verdict.reason


@pytest.mark.parametrize(
    ("severity", "ruling"),
    [
        (Severity.INFO, Ruling.REFUSE),
        (Severity.WARNING, Ruling.REFUSE),
        (Severity.ERROR, Ruling.PASS),
        (Severity.CRITICAL, Ruling.PASS),
    ],
)
def test_a_severity_passes_where_the_calendar_lets_it(severity: Severity, ruling: Ruling) -> None:
    assert rest(QUIET).check(request(severity)).ruling is ruling
    assert rest(QUIET, FREEZE).check(request(severity)).ruling is Ruling.REFUSE


def test_a_calendar_that_does_not_know_refuses_whatever_the_severity() -> None:
    verdict = rest(UNKNOWN, QUIET).check(request(Severity.CRITICAL))
    assert (verdict.ruling, verdict.until) == (Ruling.REFUSE, None)
    assert "lost cannot be told" in verdict.reason


@pytest.mark.parametrize(("ago", "ruling"), [(0, Ruling.WAIT), (59.9, Ruling.WAIT), (60, Ruling.PASS)])
def test_a_healed_service_rests_first(ago: float, ruling: Ruling) -> None:
    verdict = rest().check(request(healed_seconds_ago=ago))
    assert verdict.ruling is ruling
    if ruling is Ruling.WAIT:
        assert verdict.until == NOW + timedelta(seconds=60 - ago)
        assert GateVerdict(verdicts=(verdict,)).until == verdict.until
