"""Keeps the rest that a service is owed: freezes, quiet hours, and a while after it was healed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.ports import Calendars, Pause
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Refuses in a pause that the incident's severity does not pass, and where a calendar cannot be told.

    A service that was healed less than `cooldown_seconds` ago rests first: its figures are still settling.
    """

    calendars: Calendars
    cooldown_seconds: float

    @property
    def name(self) -> str:
        return "rest"

    def check(self, request: Request) -> RuleVerdict:
        pauses = self.calendars.pauses(request.service.name, request.now)
        kept = [item for item in pauses if not _passes(request, item)]
        if kept:
            reason = "; ".join(map(_told, kept))
            known = [item.until for item in kept if item.until is not None]
            until = max(known) if len(known) == len(kept) else None
            return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason, until=until)
        healed = request.record.healed_at
        if healed is not None:
            until = healed + timedelta(seconds=self.cooldown_seconds)
            if request.now < until:
                reason = (
                    f"{request.service.name} was healed at {_clock(healed)}; it rests until {_clock(until)}"
                )
                return RuleVerdict(rule=self.name, ruling=Ruling.WAIT, reason=reason, until=until)
        passed = ", ".join(item.title for item in pauses)
        reason = f"{request.incident.severity} goes on in: {passed}" if passed else "no pause now"
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)


def _passes(request: Request, pause: Pause) -> bool:
    if pause.until is None or pause.passes is None:
        return False
    return request.incident.severity.weight >= pause.passes.weight


def _told(pause: Pause) -> str:
    if pause.until is None:
        return f"the calendar {pause.calendar} cannot be told: {pause.title}"
    return f"{pause.title} ({pause.calendar}) until {_clock(pause.until)}"


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
