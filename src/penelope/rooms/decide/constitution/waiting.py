"""Sophia, wisdom: was it asked whether waiting is wiser?"""

from dataclasses import dataclass

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.constitution.objectives import objectives

_MISSED, _UNSEEN, _WATCHED = 1.0, 0.5, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """1 where it waits, or where objectives are missed while it would; 0.5 where none can be seen; 0 where all are met.

    That the incident was watched before adds 0.5. Kept from `limit` on.
    """

    limit: float = 0.5
    name: str = "waiting"
    article: Article = Article.SOPHIA
    forbids: bool = False

    def weigh(self, case: Case, decision: Decision) -> Weighed:
        measure, reason = _measured(case, decision)
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure >= self.limit,
            reason=reason,
        )


def _measured(case: Case, decision: Decision) -> tuple[float, str]:
    if decision.judgement is Judgement.OBSERVE:
        return 1.0, "it waits"
    if case.plan is None:
        return 1.0, "there is nothing to be done"
    seen = objectives(case.dossier)
    if seen.missed:
        return _MISSED, f"{seen.missed} of {seen.known} objectives would go on being missed"
    watched = _WATCHED if case.incident.observed_since is not None else 0.0
    if not seen.known:
        return _UNSEEN + watched, "no objective can be seen that would tell"
    return watched, f"all {seen.known} objectives are met: it may be over by itself"
