"""How well decisions keep the constitution, as a score of 0 to 100 over a stretch of time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penelope.domain.constitution import Article

_COIN = 0.25
"""The Brier score of who always says 0.5 (G. W. Brier, Monthly Weather Review 78 (1950), 1-3): no calibration at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was decided in a stretch of time. `broken` counts decisions by the article that they did not keep, of
    `weighed` ones; `brier` is the mean squared distance of confidence from what was verified, of `verified` outcomes.
    """

    decisions: int = 0
    observed: int = 0
    escalated: int = 0
    weighed: int = 0
    broken: Mapping[Article, int] = field(default_factory=dict)
    verified: int = 0
    brier: float | None = None

    def share(self, number: int) -> float:
        """A number of decisions as a share of all, 0…1."""
        return number / self.decisions if self.decisions else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What counts how much. Weights add up to 100; ratios within their band are healthy, from `few` decisions on."""

    weights: Mapping[Article, float] = field(
        default_factory=lambda: {
            Article.SOPHIA: 20.0,
            Article.PRAOTES: 15.0,
            Article.TAPEINOPHROSYNE: 15.0,
            Article.STEWARDSHIP: 0.0,
            Article.AGAPE: 15.0,
            Article.SABBATH: 10.0,
            Article.ALETHEIA: 10.0,
            Article.PRUDENCE: 15.0,
        }
    )
    observe_band: tuple[float, float] = (0.05, 0.6)
    escalate_band: tuple[float, float] = (0.1, 0.2)
    few: int = 20
    healthy: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleScore:
    """One article: `kept` is the share of decisions that kept it, `share` what it contributes of its weight, both 0…1.

    `ratio` is what is watched beside it, if anything is: of observations for Sophia, of escalations for Tapeinophrosyne.
    """

    article: Article
    weight: float
    share: float
    kept: float
    healthy: bool
    ratio: float | None = None
    band: tuple[float, float] | None = None
    brier: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compliance:
    """The score, 0…100; where nothing was weighed it is None, and nothing is said of any article."""

    score: float | None
    decisions: int
    articles: tuple[ArticleScore, ...]


def comply(tally: Tally, scale: Scale) -> Compliance:
    """Each article's share is the mean of what is known of it; the score is their weighted sum."""
    if not tally.weighed:
        return Compliance(score=None, decisions=tally.decisions, articles=())
    articles = tuple(_score(article, tally, scale) for article in Article)
    total = sum(item.weight * item.share for item in articles)
    # Shares are at most 1 and weights 100 together; rounding shall not show.
    return Compliance(score=min(100.0, total), decisions=tally.decisions, articles=articles)


def _score(article: Article, tally: Tally, scale: Scale) -> ArticleScore:
    kept = 1 - tally.broken.get(article, 0) / tally.weighed
    parts, ratio, band, brier, in_band = [kept], None, None, None, True
    if article is Article.SOPHIA:
        ratio, band = tally.share(tally.observed), scale.observe_band
    if article is Article.TAPEINOPHROSYNE:
        ratio, band, brier = tally.share(tally.escalated), scale.escalate_band, tally.brier
    if ratio is not None and band is not None and tally.decisions >= scale.few:
        parts.append(nearness(ratio, band))
        in_band = band[0] <= ratio <= band[1]
    if brier is not None and tally.verified >= scale.few:
        parts.append(max(0.0, 1 - brier / _COIN))
    return ArticleScore(
        article=article,
        weight=scale.weights.get(article, 0.0),
        share=sum(parts) / len(parts),
        kept=kept,
        healthy=kept >= scale.healthy and in_band,
        ratio=ratio,
        band=band,
        brier=brier,
    )


def nearness(ratio: float, band: tuple[float, float]) -> float:
    """1 within the band, from its edges falling evenly to 0 at ratios of 0 and 1."""
    low, high = band
    if ratio < low:
        return ratio / low
    return (1 - ratio) / (1 - high) if ratio > high else 1.0
