"""Tells people what waits to be told: each notice at its moment, by the first channel that takes it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from penelope.domain.approval import Approval, ApprovalStatus, BriefStep
from penelope.domain.break_glass import BreakGlass, ReviewStatus
from penelope.domain.notice import Notice, NoticeKind, NoticeState
from penelope.domain.surroundings import CONTEXT
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import PenelopeError
from penelope.flow import records
from penelope.flow.engine import Engine
from penelope.flow.outbox import DueReader
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.clock import Clock
from penelope.kit.codec import from_data, to_data
from penelope.kit.harmless import harmless

_LONGEST_PAUSE_SECONDS = 600.0
_AT_ONCE = 16
"""Notices in one round; they are sent beside each other."""
_LONGEST_ERROR = 1500
"""Characters of an error in an alarm: channels cut long texts off, and what is to be done stands behind it."""

_LONGEST_WORDS = 200
_MOST_STEPS = 12
_MARKUP = str.maketrans({"<": "(", ">": ")", "[": "(", "]": ")", "@": "(at)", "`": "'"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told. With `approval` an answer is asked for; `about` is the unit of work."""

    kind: NoticeKind
    about: str
    incident: str
    title: str
    text: str
    approval: Approval | None = None


class Channel(Protocol):
    """A way to reach people."""

    async def send(self, message: Message) -> None:
        """Returns once the other side has taken it. Raises Unavailable or Timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierLimits:
    """How often a channel is tried, after which pause (seconds, doubling), and how long a try may take."""

    attempts: int = 4
    backoff_seconds: float = 5.0
    timeout_seconds: float = 15.0


class Courier:
    """Sends what is due. A notice that was sent is marked afterwards: a crash in between sends it twice, never not."""

    def __init__(
        self,
        engine: Engine,
        due: DueReader,
        channels: Mapping[str, Channel],
        clock: Clock,
        limits: CourierLimits,
    ) -> None:
        self._engine = engine
        self._due = due
        self._channels = channels
        self._clock = clock
        self._limits = limits

    async def run(self, seconds: float) -> None:
        """Looks each `seconds` until cancelled."""
        while True:
            try:
                while await self.deliver():
                    pass
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next round tries again
                _log.exception("notices could not be sent")
            await asyncio.sleep(seconds)

    async def deliver(self) -> int:
        """Tries what is due now, and says how many notices that were."""
        if not await self._due.any_due(self._clock.now()):
            return 0
        claimed = await self._claim()
        told = await asyncio.gather(*(self._one(notice) for notice in claimed), return_exceptions=True)
        for error in filter(None, told):
            # It is tried again when the claim on it is over; the others are not kept waiting.
            _log.error("a notice could not be sent", exc_info=error)
        return len(claimed)

    async def _claim(self) -> Sequence[Notice]:
        async def body(transaction: Transaction) -> Json:
            # Whoever dies with a notice in hand is followed by somebody else after this time.
            lease = timedelta(seconds=4 * self._limits.timeout_seconds)
            return await transaction.outbox.claim(transaction.now() + lease, _AT_ONCE)

        claimed: Sequence[Notice] = await self._engine.transaction("claim notices", body)
        return claimed

    async def _one(self, notice: Notice) -> None:
        message = await self._message(notice)
        if message is None:
            await self._settled(replace(notice, state=NoticeState.VOID), None)
            return
        failure = await self._try(notice.channels[0], message)
        tried = replace(notice, attempts=notice.attempts + 1)
        if not failure:
            told = f"{notice.kind.value.replace('_', ' ')}: told on {notice.channels[0]}"
            await self._settled(replace(tried, state=NoticeState.SENT), ("NoticeSent", told))
            return
        _log.warning("the channel %s failed: %s", notice.channels[0], failure)
        await self._after_failure(tried, failure)

    async def _after_failure(self, notice: Notice, failure: str) -> None:
        """The next try, the next channel, or the end: whichever it is, the first failure of each channel shows."""
        channel, *others = notice.channels
        pause = min(self._limits.backoff_seconds * 2 ** (notice.attempts - 1), _LONGEST_PAUSE_SECONDS)
        event = ("NoticeFailed", f"{channel}: {failure}")
        if notice.attempts < self._limits.attempts:
            due_at = self._clock.now() + timedelta(seconds=pause)
            await self._settled(replace(notice, due_at=due_at), event if notice.attempts == 1 else None)
        elif others:
            event = ("NoticeFailed", f"{channel}: {failure}; {others[0]} is next")
            passed_on = replace(notice, channels=tuple(others), attempts=0, due_at=self._clock.now())
            await self._settled(passed_on, event)
        else:
            event = ("NoticeLost", f"no channel took it; {channel}: {failure}")
            await self._settled(replace(notice, state=NoticeState.FAILED), event)

    async def _try(self, name: str, message: Message) -> str:
        """What went wrong, or nothing."""
        channel = self._channels.get(name)
        if channel is None:
            return "there is no such channel any more"
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                await channel.send(message)
        except TimeoutError:
            return f"no answer within {self._limits.timeout_seconds:g} s"
        except PenelopeError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - whatever a channel raises, the request must not be lost
            return type(error).__name__  # what a library says may hold the URL, and so its secrets
        return ""

    async def _message(self, notice: Notice) -> Message | None:
        """What is to be told now; nothing where it was answered meanwhile."""

        async def body(transaction: Transaction) -> Json:
            return await transaction.unit(notice.about)

        unit: UnitOfWork | None = await self._engine.transaction("read notice", body)
        if unit is None:
            return None
        if unit.kind == "approval":
            return _of_request(notice, from_data(Approval, unit.attributes))
        if unit.kind == "action":
            return _of_alarm(notice, unit)
        if unit.kind == "deployment":
            return _of_rollout(notice, unit)
        return _of_glass(notice, from_data(BreakGlass, unit.attributes))

    async def _settled(self, notice: Notice, event: tuple[str, str] | None) -> None:
        async def body(transaction: Transaction) -> None:
            await transaction.outbox.settle(notice)
            if event is not None:
                await transaction.save(_of_notice(notice, *event))

        await self._engine.transaction("settle notice", body)


def _of_notice(notice: Notice, event: str, reason: str) -> Change:
    return Change(
        unit=notice.id,
        kind="notice",
        incident=notice.incident,
        status=notice.state.value,
        attributes=to_data(notice),
        event=event,
        actor=records.PENELOPE,
        reason=reason,
        details={"channel": reason.partition(":")[0] if event != "NoticeSent" else notice.channels[0]},
    )


def _of_request(notice: Notice, approval: Approval) -> Message | None:
    if approval.status is not ApprovalStatus.PENDING:
        return None
    brief = approval.brief
    word = {NoticeKind.REMINDER: "Reminder: ", NoticeKind.ESCALATION: "Escalated: "}.get(notice.kind, "")
    if brief is None:
        title, lines = f"{word}approval needed", list(approval.reasons)
    else:
        title = f"{word}approval needed: {brief.playbook} on {brief.service}"
        lines = [
            brief.rationale,
            f"Risk {brief.risk:.2f}, confidence {brief.confidence:.2f}, tier {brief.tier}.",
            *map(_step, brief.steps[:_MOST_STEPS]),
            *([f"- and {len(brief.steps) - _MOST_STEPS} more"] if len(brief.steps) > _MOST_STEPS else []),
            *([f"On the twin: {_quoted(brief.twin)}"] if brief.twin else []),
            *(f"* {part.name} {part.value:+.2f}: {part.reason}" for part in brief.risks),
            *[line for line in brief.evidence if not line.startswith(CONTEXT)][:8],
            *[_quoted(line) for line in brief.evidence if line.startswith(CONTEXT)][:8],
            brief.silence,
        ]
    lines += [f"Incident {approval.incident}, until {approval.expires_at:%Y-%m-%d %H:%M} UTC."]
    return Message(
        kind=notice.kind,
        about=approval.id,
        incident=approval.incident,
        title=title,
        text="\n".join(lines),
        approval=approval,
    )


def _step(step: BriefStep) -> str:
    when = f", {step.when}" if step.when else ""
    seen = f"\n  would: {_quoted(step.preview)}" if step.preview else ""
    unseen = f"\n  not previewed: {_quoted(step.not_previewed)}" if step.not_previewed else ""
    return f"- {step.name} ({step.adapter}.{step.operation} on {step.target}){when}{seen}{unseen}"


def _quoted(words: str) -> str:
    """Words that a target may have put there, so that no channel takes them for a link, a mention or markup."""
    plain = harmless(words, _LONGEST_WORDS).translate(_MARKUP)
    return plain.replace("://", ": //").replace("www.", "www .")


def _of_alarm(notice: Notice, unit: UnitOfWork) -> Message:
    action = unit.attributes["action"]
    target = action["target"]
    title = f"COULD NOT BE TAKEN BACK: {action['name']} on {target['service']}"
    lines = [
        _short(str(unit.attributes.get("error", ""))),
        f"Target {target['name']}, {action['adapter']}.{action['operation']}.",
        f"Healing of {target['service']} is halted until a person resumes it. Incident {notice.incident}.",
    ]
    return Message(
        kind=notice.kind, about=unit.id, incident=notice.incident, title=title, text="\n".join(lines)
    )


def _of_rollout(notice: Notice, unit: UnitOfWork) -> Message:
    deployment = unit.attributes["deployment"]
    course, service = deployment["course"], deployment["service"]
    if notice.kind is NoticeKind.ROLLOUT_STUCK:
        title = f"TRAFFIC CANNOT BE TAKEN AWAY: {course['canary']} of {service}"
        closing = "The router is asked on until it obeys. Take the traffic away by hand."
    else:
        title = f"rolled back: {course['canary']} of {service}"
        closing = f"All traffic is on {course['control']}."
    lines = [_short(_quoted(str(deployment["reason"]))), f"Rollout {unit.id}. {closing}"]
    if notice.incident:
        lines.append(f"Incident {notice.incident}.")
    return Message(
        kind=notice.kind, about=unit.id, incident=notice.incident, title=title, text="\n".join(lines)
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"


def _of_glass(notice: Notice, glass: BreakGlass) -> Message | None:
    if notice.kind is NoticeKind.REVIEW_OVERDUE:
        if glass.status is ReviewStatus.CLOSED:
            return None
        title = f"REVIEW OVERDUE: {glass.actor} broke the glass on {glass.service}"
    else:
        title = f"GLASS BROKEN: {glass.actor} runs {glass.playbook} on {glass.service}"
    lines = [
        glass.reason,
        *glass.lifted,
        f"Two others must review it by {glass.review_due_at:%Y-%m-%d %H:%M} UTC.",
    ]
    return Message(
        kind=notice.kind, about=glass.id, incident=glass.incident, title=title, text="\n".join(lines)
    )
