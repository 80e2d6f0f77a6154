"""The state of the world that a word was given for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penelope.domain.decision import Decision
from penelope.domain.evidence import Dossier
from penelope.kit.canonical import Json, content_hash
from penelope.kit.codec import to_data

RISK_MAY_GROW = 0.1
"""By how much the risk of a plan may have grown since it was approved; figures flutter by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an approval rests on beside the plan: objectives that were missed, what is known of changes, and the risk.

    The figures behind them flutter and stay out. Risk 0…1.
    """

    missed: tuple[str, ...] = ()
    changes: Mapping[str, Json] = field(default_factory=dict)
    risk: float = 0.0

    @property
    def digest(self) -> str:
        """What is bound into a request beside the plan's digest."""
        return content_hash(to_data(self))

    def outlived(self, present: "Present") -> str:
        """Why an approval that was given for this is not good for the present; empty where it is.

        An objective that is missed in addition changes nothing: the plan is the same, and the need is greater.
        """
        if self.missed and present.met.issuperset(self.missed):
            return f"what was missed is met again: {', '.join(self.missed)}"
        now = present.circumstances
        names = {*self.changes, *now.changes}
        changed = sorted(name for name in names if self.changes.get(name) != now.changes.get(name))
        if changed:
            return f"something was changed since: {', '.join(changed)}"
        if now.risk > self.risk + RISK_MAY_GROW:
            return f"the risk has grown from {self.risk:.2f} to {now.risk:.2f}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The circumstances of this moment; `met` are the objectives that are known to be met."""

    circumstances: Circumstances
    met: frozenset[str]


def present(dossier: Dossier, decision: Decision) -> Present:
    """The circumstances that fresh evidence shows. Changes that can no longer be seen count as changed: nobody could tell."""
    objectives = {
        item.concept.removeprefix("slo."): item.value.get("met")
        for item in dossier.evidence
        if item.concept.startswith("slo.") and isinstance(item.value, Mapping)
    }
    circumstances = Circumstances(
        missed=tuple(sorted(name for name, met in objectives.items() if met is False)),
        changes={
            item.concept: item.value
            for item in dossier.evidence
            if item.concept.startswith("change.") and item.known
        },
        risk=decision.risk.value,
    )
    return Present(
        circumstances=circumstances, met=frozenset(name for name, met in objectives.items() if met is True)
    )
