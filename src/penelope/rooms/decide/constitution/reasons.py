"""Aletheia, truth: is there a reason for everything, and do the figures add up?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isclose, isfinite
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Score
from penelope.domain.evidence import Evidence
from penelope.rooms.decide.facts import Facts

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """The share of what was claimed that is backed: the rationale, each contribution's reason, the sums of risk and
    confidence, each piece of evidence's source. Kept at 1.
    """

    name: ClassVar[str] = "reasons"
    article: ClassVar[Article] = Article.ALETHEIA
    forbids: ClassVar[bool] = True

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        claims = list(_claims(facts.evidence, decision))
        missing = [what for what, backed in claims if not backed]
        measure = 1 - len(missing) / len(claims)
        reason = (
            f"without backing: {', '.join(missing)}" if missing else f"all {len(claims)} claims are backed"
        )
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=1.0,
            kept=not missing,
            reason=reason,
        )


def _claims(evidence: Iterable[Evidence], decision: Decision) -> Iterator[tuple[str, bool]]:
    yield "the judgement", bool(decision.rationale.strip())
    for name, score in (("risk", decision.risk), ("confidence", decision.confidence)):
        yield f"the sum of {name}", _adds_up(score)
        for part in score.contributions:
            yield f"{name}'s {part.name}", bool(part.reason.strip())
    for item in evidence:
        yield item.concept, bool(item.source)


def _adds_up(score: Score) -> bool:
    total = sum(part.value for part in score.contributions)
    return isfinite(score.value) and isclose(total, score.value, abs_tol=_ROUNDING)
