"""Waits where a service that this one depends on broke first: there lies the cause, and mending here would mend nothing."""

from dataclasses import dataclass
from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """Waits with a look each `recheck_seconds`; an incident that is `wait_seconds` old by then is for people."""

    wait_seconds: float
    recheck_seconds: float

    @property
    def name(self) -> str:
        return "dependency"

    def check(self, request: Request) -> RuleVerdict:
        if request.upstream is None:
            reason = "nobody has looked at what it depends on"
            return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason)
        if not request.upstream:
            reason = "nothing that it depends on has an older incident"
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)
        first = min(request.upstream, key=lambda item: (item.opened_at, item.id))
        cause = f"{first.service} has been broken since {first.opened_at:%H:%M:%S} UTC ({first.id})"
        deadline = request.incident.opened_at + timedelta(seconds=self.wait_seconds)
        if request.now >= deadline:
            reason = f"{cause}, and still is after {self.wait_seconds:g} s of waiting: mend that first"
            return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason)
        until = min(deadline, request.now + timedelta(seconds=self.recheck_seconds))
        return RuleVerdict(
            rule=self.name, ruling=Ruling.WAIT, reason=f"{cause}, which may be the cause", until=until
        )
