"""The right to change a target, held by one action at a time."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may change a target now. `fence` rises with each holder, so that a target can refuse one who held it before.

    A lease belongs to a durable story, not to a process: it does not expire, it is given back when the action, or the
    story, has ended. `beat_at` is when the action last showed that it is alive.
    """

    target: str
    holder: str
    incident: str
    fence: int
    since: datetime
    beat_at: datetime
