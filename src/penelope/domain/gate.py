"""May it be done now? What one rule said, and what all of them together said."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Ruling(StrEnum):
    """A rule's answer."""

    PASS = "pass"  # noqa: S105 - a ruling, not a credential
    REFUSE = "refuse"
    WAIT = "wait"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """What one rule said, and why. `until` is from when on it may say otherwise, where it knows; not even break-glass
    lifts what is `final`. `noted` says that people should read the reason although the rule passed.
    """

    rule: str
    ruling: Ruling
    reason: str
    until: datetime | None = None
    final: bool = False
    noted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """The verdicts in order. The strictest ruling is the gate's: refuse before wait before ask before pass."""

    verdicts: tuple[RuleVerdict, ...]

    @property
    def ruling(self) -> Ruling:
        rulings = {verdict.ruling for verdict in self.verdicts}
        if Ruling.REFUSE in rulings or not self.verdicts:
            return Ruling.REFUSE
        return next((item for item in (Ruling.WAIT, Ruling.ASK) if item in rulings), Ruling.PASS)

    @property
    def until(self) -> datetime | None:
        """When the last of the rules that wait may say otherwise; None where none of them knows."""
        known = [item.until for item in self.verdicts if item.ruling is Ruling.WAIT and item.until]
        return max(known, default=None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the rules that did not pass."""
        return tuple(
            f"{item.rule}: {item.reason}" for item in self.verdicts if item.ruling is not Ruling.PASS
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What rules that passed noted all the same."""
        return tuple(
            f"{item.rule}: {item.reason}"
            for item in self.verdicts
            if item.noted and item.ruling is Ruling.PASS
        )
