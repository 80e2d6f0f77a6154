"""Sabbath: is a service left in peace after it was changed?"""

from dataclasses import dataclass

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How much of `rest_seconds` has passed since the service was last changed, 0…1. Kept at 1, and by whatever does
    not act. Freeze windows and quiet hours are the gate's, which refuses in them.
    """

    rest_seconds: float = 300.0
    name: str = "rest"
    article: Article = Article.SABBATH
    forbids: bool = False

    def weigh(self, case: Case, decision: Decision) -> Weighed:
        measure, reason = 1.0, "it was not changed lately"
        changed = case.record.recent_actions if case.record is not None else ()
        if decision.judgement is not Judgement.INTERVENE:
            reason = "it is left in peace"
        elif changed:
            seconds = max(0.0, (decision.decided_at - changed[-1]).total_seconds())
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
