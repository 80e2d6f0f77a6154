"""How people are asked: whose word is needed, when they are reminded, and what silence means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from penelope.domain.approval import OnTimeout
from penelope.domain.notice import Notice, NoticeKind
from penelope.domain.quorum import Quorum, QuorumRule, quorum_for

TWO_FOR_THE_IRREVERSIBLE = ("tier 4: 2 approver",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Whom (a channel's name) to tell when this share (0…1) of the wait is over."""

    share: float
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingPolicy:
    """How requests are made. `reminders` are shares (0…1) of the wait; `channels` are tried in order; an
    approval is good for `good_seconds` from when it was given, and a person's no stands for `refusal_seconds`.
    """

    quorums: tuple[QuorumRule, ...] = ()
    on_timeout: OnTimeout = OnTimeout.REJECT
    on_timeout_of: Mapping[str, OnTimeout] = field(default_factory=dict)
    reminders: tuple[float, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    channels: tuple[str, ...] = ()
    good_seconds: float = 3600.0
    refusal_seconds: float = 86_400.0

    def quorum(self, tier: int, risk: float) -> Quorum:
        return quorum_for(self.quorums, tier, risk)

    def silence(self, service: str) -> OnTimeout:
        return self.on_timeout_of.get(service, self.on_timeout)

    def expiry(self, service: str, now: datetime, seconds: float) -> datetime:
        """When a request made now is over: where silence escalates, those above have as long again."""
        factor = 2 if self.silence(service) is OnTimeout.ESCALATE else 1
        return now + timedelta(seconds=factor * seconds)

    def notices(self, about: str, incident: str, service: str, now: datetime, seconds: float) -> list[Notice]:
        """Everything that will be said about a request while nobody answers, each at its moment and once."""
        if not self.channels:
            return []
        due = [(NoticeKind.REQUESTED, 0.0, self.channels)]
        due += [(NoticeKind.REMINDER, share, self.channels) for share in self.reminders]
        due += [(NoticeKind.ESCALATION, item.share, self._from(item.channel)) for item in self.escalations]
        if self.silence(service) is OnTimeout.ESCALATE:
            above = self.escalations[-1].channel if self.escalations else self.channels[0]
            due.append((NoticeKind.ESCALATION, 1.0, self._from(above)))
        return [
            Notice.of(
                kind, about, incident, now + timedelta(seconds=share * seconds), channels, number=number
            )
            for number, (kind, share, channels) in enumerate(due)
        ]

    def to_all(self, kind: NoticeKind, about: str, incident: str, due_at: datetime) -> list[Notice]:
        """One notice for each channel; each falls back on the others."""
        return [
            Notice.of(kind, about, incident, due_at, self._from(channel), number=number)
            for number, channel in enumerate(self.channels)
        ]

    def _from(self, channel: str) -> tuple[str, ...]:
        """A channel, and those that follow if it fails."""
        return (channel, *(other for other in self.channels if other != channel))


def silence_in_words(policy: AskingPolicy, service: str, seconds: float, quorum: Sequence[object]) -> str:
    """What is told to people about the time that they have."""
    needed = " and ".join(map(str, quorum))
    if policy.silence(service) is OnTimeout.ESCALATE:
        return (
            f"needs {needed}; without an answer within {seconds:g} s those above are asked for as long "
            "again, and then the plan is rejected and people take over"
        )
    return f"needs {needed}; without an answer within {seconds:g} s the plan is rejected and people take over"
