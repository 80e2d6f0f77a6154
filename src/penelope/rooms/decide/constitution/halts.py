"""Prudence: does it stop where stopping was right before?"""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Halts:
    """The fixes of this service that failed within `window_seconds`. Kept below `limit`, and by whatever does not act;
    the gate's halt refuses on top of it.
    """

    limit: float = 3.0
    window_seconds: float = 900.0
    name: ClassVar[str] = "halts"
    article: ClassVar[Article] = Article.PRUDENCE
    forbids: ClassVar[bool] = False

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        since = decision.decided_at - timedelta(seconds=self.window_seconds)
        lately = sum(1 for moment in facts.failed_at if moment >= since)
        acts = decision.judgement is Judgement.INTERVENE
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=float(lately),
            limit=self.limit,
            kept=not acts or lately < self.limit,
            reason=f"{lately} fixes failed in the last {self.window_seconds:g} s",
        )
