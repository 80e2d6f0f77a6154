"""Sabbath: is a service left in peace after it was changed?"""

from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How much of `rest_seconds` has passed since the service was last changed, 0…1. Kept at 1, and by whatever does
    not act. Freeze windows and quiet hours are the gate's, which refuses in them.
    """

    rest_seconds: float = 300.0
    name: ClassVar[str] = "rest"
    article: ClassVar[Article] = Article.SABBATH
    forbids: ClassVar[bool] = False

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        measure, reason = 1.0, "it was not changed lately"
        if decision.judgement is not Judgement.INTERVENE:
            reason = "it is left in peace"
        elif facts.changed_at is not None:
            seconds = max(0.0, (decision.decided_at - facts.changed_at).total_seconds())
            measure = min(1.0, seconds / self.rest_seconds)
            reason = f"it was last changed {seconds:.0f} s ago"
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=1.0,
            kept=measure >= 1.0,
            reason=reason,
        )
