"""Correlates a batch of signals into incidents."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Signal, SignalStatus

SignalKey = tuple[str, str]
Problem = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was there before the batch: signals, the newest incident about each problem, and what still burns."""

    signals: Collection[SignalKey] = ()
    incidents: Mapping[Problem, Incident] = field(default_factory=dict)
    firing: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What became of one incident: its new state, the event's name, and how many signals stand behind it."""

    incident: Incident
    event: str
    reason: str
    signals: int = 0


@dataclass(slots=True)
class Correlation:
    """What a batch comes to. A signal whose incident is None ended something that nobody had opened.

    `opened` names new incidents and their services.
    """

    signals: list[tuple[Signal, str | None]] = field(default_factory=list)
    duplicates: int = 0
    transitions: list[Transition] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)
    ended_by_source: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`hold_seconds`: how long an incident that was handed to people goes on taking signals in."""

    hold_seconds: float


def correlate(
    signals: Sequence[Signal], known: Known, rules: Rules, *, now: datetime, new_id: Callable[[], str]
) -> Correlation:
    """Puts every signal that was not seen before with the incident about the same service and fingerprint.

    One incident a problem stays open at a time. A problem has ended when all of its subjects have.
    """
    result = Correlation()
    for (service, fingerprint), group in _by_problem(_unseen(signals, known.signals, result)).items():
        current = known.incidents.get((service, fingerprint))
        burning = set(known.firing.get(current.id, ())) if current else set()
        _Problem(current, burning, rules, now, new_id).take(group, result)
    return result


def _unseen(signals: Iterable[Signal], known: Collection[SignalKey], result: Correlation) -> list[Signal]:
    seen = set(known)
    fresh: list[Signal] = []
    for signal in signals:
        if (signal.source, signal.id) in seen:
            result.duplicates += 1
            continue
        seen.add((signal.source, signal.id))
        fresh.append(signal)
    return fresh


def _by_problem(signals: Iterable[Signal]) -> dict[Problem, list[Signal]]:
    groups: dict[Problem, list[Signal]] = {}
    for signal in signals:
        groups.setdefault((signal.service, signal.fingerprint), []).append(signal)
    return groups


class _Problem:
    """One problem while a batch is taken in; signals that change nothing but the count share one transition."""

    def __init__(
        self,
        current: Incident | None,
        burning: set[str],
        rules: Rules,
        now: datetime,
        new_id: Callable[[], str],
    ) -> None:
        self._incident = current
        self._burning = burning
        self._rules = rules
        self._now = now
        self._new_id = new_id
        self._counted = 0

    def take(self, signals: Sequence[Signal], result: Correlation) -> None:
        for signal in signals:
            if signal.status is SignalStatus.FIRING:
                self._fire(signal, result)
            else:
                self._resolve(signal, result)
            result.signals.append((signal, self._incident.id if self._incident else None))
        self._flush(result)

    def _fire(self, signal: Signal, result: Correlation) -> None:
        incident = self._incident
        if incident is not None and self._has_lapsed(incident):
            self._flush(result)
            lapsed = replace(incident, lapsed=True, updated_at=self._now)
            reason = "the same problem began anew long after it was handed over"
            result.transitions.append(Transition(incident=lapsed, event="IncidentLapsed", reason=reason))
            incident = None
        if incident is None or not (incident.takes_signals or _is_late(signal, incident)):
            self._open(signal, result)
            return
        self._burning.add(signal.subject)
        self._counted += 1
        severity = max(incident.severity, signal.severity, key=lambda item: item.weight)
        back = None if incident.takes_signals else incident.resolved_at
        self._incident = replace(
            incident,
            severity=severity,
            signal_count=incident.signal_count + 1,
            updated_at=self._now,
            resolved_at=back,
        )

    def _open(self, signal: Signal, result: Correlation) -> None:
        self._flush(result)
        self._incident = Incident(
            id=self._new_id(),
            service=signal.service,
            fingerprint=signal.fingerprint,
            name=signal.name,
            severity=signal.severity,
            state=IncidentState.RECEIVED,
            opened_at=self._now,
            updated_at=self._now,
            signal_count=1,
            labels=signal.labels,
            summary=signal.annotations.get("summary", ""),
        )
        self._burning = {signal.subject}
        reason = f"{signal.source} says {signal.name} on {signal.service}"
        result.transitions.append(
            Transition(incident=self._incident, event="IncidentOpened", reason=reason, signals=1)
        )
        result.opened.append((self._incident.id, self._incident.service))

    def _resolve(self, signal: Signal, result: Correlation) -> None:
        incident = self._incident
        self._burning.discard(signal.subject)
        if incident is None or self._burning or incident.resolved_at is not None:
            return
        self._flush(result)
        ended = replace(
            self._incident or incident, resolved_at=signal.ends_at or self._now, updated_at=self._now
        )
        event, reason = "ConditionEnded", f"{signal.source} sees it no more"
        if incident.state is IncidentState.ESCALATED:
            ended = replace(ended, state=IncidentState.RESOLVED)
            event = "IncidentResolved"
        result.transitions.append(Transition(incident=ended, event=event, reason=reason))
        result.ended_by_source.append(ended.id)
        self._incident = ended

    def _flush(self, result: Correlation) -> None:
        if self._counted and self._incident is not None:
            reason = (
                f"{self._counted} more signals about it" if self._counted > 1 else "another signal about it"
            )
            transition = Transition(
                incident=self._incident, event="SignalsCorrelated", reason=reason, signals=self._counted
            )
            result.transitions.append(transition)
        self._counted = 0

    def _has_lapsed(self, incident: Incident) -> bool:
        if incident.state is not IncidentState.ESCALATED or incident.lapsed or incident.ended_at is None:
            return False
        return self._now - incident.ended_at > timedelta(seconds=self._rules.hold_seconds)


def _is_late(signal: Signal, incident: Incident) -> bool:
    """Whether the signal began before the incident was healed: it was only slow to arrive."""
    healed = incident.state is IncidentState.HEALED
    return healed and incident.ended_at is not None and signal.starts_at <= incident.ended_at
