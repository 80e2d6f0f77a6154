"""Something that people must be told, kept until it was."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.kit.ids import digest_id


class NoticeKind(StrEnum):
    """What a notice says."""

    REQUESTED = "requested"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    GLASS_BROKEN = "glass_broken"
    REVIEW_OVERDUE = "review_overdue"
    COMPENSATION_FAILED = "compensation_failed"
    ROLLED_BACK = "rolled_back"
    ROLLOUT_STUCK = "rollout_stuck"


class NoticeState(StrEnum):
    """WAITING is the only state that changes. VOID: it was answered before it was due."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to be said about a unit of work at a moment.

    `channels` are those that are still to be tried, the present one first; `attempts` counts tries on that one.
    """

    id: str
    kind: NoticeKind
    about: str
    incident: str
    due_at: datetime
    channels: tuple[str, ...]
    attempts: int = 0
    state: NoticeState = NoticeState.WAITING

    @classmethod
    def of(
        cls,
        kind: NoticeKind,
        about: str,
        incident: str,
        due_at: datetime,
        channels: tuple[str, ...],
        *,
        number: int = 0,
    ) -> "Notice":
        """A new notice; the same one made twice has the same id, and so is one."""
        identifier = digest_id("notice", about, kind, str(number))
        return cls(id=identifier, kind=kind, about=about, incident=incident, due_at=due_at, channels=channels)
