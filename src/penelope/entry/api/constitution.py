"""The constitution: how well decisions keep it."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from penelope.domain.constitution import Article
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented
from penelope.errors import Forbidden, InvalidRequest, Unauthenticated, Unavailable
from penelope.flow.keys import Scope
from penelope.kit.described import Described
from penelope.rooms.learn.compliance import ArticleScore, Compliance

router = APIRouter(
    prefix="/api/v1/constitution",
    tags=["constitution"],
    dependencies=[requires(Scope.READ)],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


class Band(Described):
    """The ratios that are healthy, both ends included."""

    least: float
    most: float


class ArticleReport(Described):
    """How well one article is kept."""

    article: Article
    weight: float
    """What it counts in the score."""
    share: float
    """What it contributes of its weight, 0 to 1."""
    kept: float
    """The share of decisions that kept it."""
    healthy: bool
    ratio: float | None
    """Of observations for Sophia, of escalations for Tapeinophrosyne."""
    band: Band | None
    brier: float | None
    """How far confidence was from what came true, 0 to 1; 0.25 is what a coin would get."""


class Day(Described):
    """One day (UTC) of the trend."""

    day: date
    score: float | None
    decisions: int
    shares: dict[Article, float]


class Constitution(Described):
    """How well decisions keep the constitution."""

    service: str | None
    days: int
    decisions: int
    score: float | None
    """0 to 100; null where no decision was weighed."""
    articles: list[ArticleReport]
    """Empty where no decision was weighed."""
    trend: list[Day]


@router.get("")
async def get_constitution(
    application: Running,
    service: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
) -> Constitution:
    """Tells how well decisions kept the constitution of late, as a whole and by day.

    Days are those of UTC, today is one of them. Needs the scope `read`.
    """
    whole, trend = await application.compliance.look(service=service, days=days)
    return Constitution(
        service=service,
        days=days,
        decisions=whole.decisions,
        score=whole.score,
        articles=[_article(item) for item in whole.articles],
        trend=_trend(trend),
    )


def _article(item: ArticleScore) -> ArticleReport:
    return ArticleReport(
        article=item.article,
        weight=item.weight,
        share=item.share,
        kept=item.kept,
        healthy=item.healthy,
        ratio=item.ratio,
        band=None if item.band is None else Band(least=item.band[0], most=item.band[1]),
        brier=item.brier,
    )


def _trend(trend: Mapping[date, Compliance]) -> list[Day]:
    return [
        Day(
            day=day,
            score=item.score,
            decisions=item.decisions,
            shares={one.article: one.share for one in item.articles},
        )
        for day, item in trend.items()
    ]
