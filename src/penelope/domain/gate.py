"""May it be done now? What one rule said, and what all of them together said."""

from dataclasses import dataclass
from enum import StrEnum


class Ruling(StrEnum):
    """A rule's answer."""

    PASS = "pass"  # noqa: S105 - a ruling, not a credential
    REFUSE = "refuse"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """What one rule said, and why. Not even break-glass lifts what is `final`."""

    rule: str
    ruling: Ruling
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """The verdicts in order. The strictest ruling is the gate's: refuse before ask before pass."""

    verdicts: tuple[RuleVerdict, ...]

    @property
    def ruling(self) -> Ruling:
        rulings = {verdict.ruling for verdict in self.verdicts}
        if Ruling.REFUSE in rulings or not self.verdicts:
            return Ruling.REFUSE
        return Ruling.ASK if Ruling.ASK in rulings else Ruling.PASS

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the rules that did not pass."""
        return tuple(
            f"{item.rule}: {item.reason}" for item in self.verdicts if item.ruling is not Ruling.PASS
        )
