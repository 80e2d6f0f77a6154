"""What is known of a plan before it is carried out: what its actions would change, and how it went on the twin."""

from dataclasses import dataclass
from datetime import datetime

from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPreview:
    """What one action would change, in a sentence and as lines that go (-) and come (+); or in `missing` why that is not
    known. `refused` says that it cannot be done, as `missing` tells, so that its plan is not worth asking for.
    """

    key: str
    name: str
    summary: str = ""
    diff: str = ""
    missing: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreview:
    """What the actions of a plan would change as of a moment, in the order in which they are written."""

    actions: tuple[ActionPreview, ...]
    taken_at: datetime
    seconds: float = 0.0

    @property
    def refusal(self) -> str:
        """Which actions cannot be done, and why; nothing where all may be."""
        return "; ".join(
            f"{item.name} cannot be done: {item.missing}" for item in self.actions if item.refused
        )

    @property
    def missing(self) -> tuple[ActionPreview, ...]:
        """The actions of which nobody knows what they would change."""
        return tuple(item for item in self.actions if item.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """All that was tried of a plan. `rehearsal` is None where no twin was there, or none was worth asking."""

    preview: PlanPreview
    rehearsal: Rehearsal | None = None

    @property
    def refusal(self) -> str:
        """Why the plan is not worth asking for; nothing where it may be."""
        if self.preview.refusal:
            return self.preview.refusal
        if self.rehearsal is not None and self.rehearsal.outcome is RehearsalOutcome.FAILED:
            return f"the rehearsal failed: {self.rehearsal.reason}"
        return ""
