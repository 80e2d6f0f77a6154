"""Sophia, wisdom: was it asked whether waiting is wiser?"""

from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Facts
from penelope.rooms.decide.objectives import held

_MISSED, _UNSEEN, _WATCHED = 1.0, 0.5, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """1 where it waits, or where objectives are missed while it would; 0.5 where none can be seen; 0 where all are met.

    That the incident was watched before adds 0.5. Kept from `limit` on.
    """

    limit: float = 0.5
    name: ClassVar[str] = "waiting"
    article: ClassVar[Article] = Article.SOPHIA
    forbids: ClassVar[bool] = False

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        measure, reason = _measured(facts, decision)
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure >= self.limit,
            reason=reason,
        )


def _measured(facts: Facts, decision: Decision) -> tuple[float, str]:
    if decision.judgement is Judgement.OBSERVE:
        return 1.0, "it waits"
    if facts.candidate is None:
        return 1.0, "there is nothing to be done"
    seen = held(facts.evidence)
    missed = sum(not item.met for item in seen)
    if missed:
        return _MISSED, f"{missed} of {len(seen)} objectives would go on being missed"
    watched = _WATCHED if facts.observed_since is not None else 0.0
    if not seen:
        return _UNSEEN + watched, "no objective can be seen that would tell"
    return watched, f"all {len(seen)} objectives are met: it may be over by itself"
