"""Shows answers of the context as the interface's models."""

from collections.abc import Sequence
from typing import Any

from penelope.domain import answer, concept, degradation, passage
from penelope.entry.api import context_models as models
from penelope.errors import AccessDenied, AmbiguousConcept, Unavailable, UnknownConcept
from penelope.flow.answers import Answered
from penelope.flow.looking_up import Standing
from penelope.kit.codec import to_data

_LONGEST_EXCERPT = 600


def told(found: Answered) -> models.Told:
    """Raises AmbiguousConcept, UnknownConcept, AccessDenied or Unavailable, with what is known, for what has no answer."""
    said = found.told
    if said.definition is None or said.outcome is not answer.Outcome.RESOLVED:
        raise _problem(found)
    return models.Told(
        id=found.id,
        concept=said.concept,
        outcome=said.outcome,
        at=said.at,
        role=said.subject.role,
        definition=definition(said.definition),
        query=_data(said.query),
        asked=_data(said.asked),
        value=figures(said.value),
        compared=figures(said.compared),
        rows=_data(said.rows),
        lineage=_data(said.lineage),
        documents=excerpts(said.passages),
        confidence=confidence(said.confidence),
        alternatives=choices(said.choices),
        row_filters=_data(said.row_filters),
        masks=dict(said.masks),
        notices=notices(said.notices),
        unmet=list(said.unmet),
    )


def _problem(found: Answered) -> Exception:
    said = found.told
    members: dict[str, object] = {
        "answer": found.id,
        "notices": [item.model_dump(mode="json") for item in notices(said.notices)],
    }
    match said.outcome:
        case answer.Outcome.DENIED:
            return AccessDenied(said.why or "the policy withholds it", members=members)
        case answer.Outcome.AMBIGUOUS:
            members["choices"] = [item.model_dump(mode="json") for item in choices(said.choices)]
            return AmbiguousConcept(said.why, members=members)
        case answer.Outcome.UNAVAILABLE:
            return Unavailable(said.why, members=members)
        case _:
            members["nearest"] = [item.model_dump(mode="json") for item in choices(said.choices)]
            return UnknownConcept(said.why, members=members)


def definition(found: concept.Definition) -> models.Definition:
    return models.Definition.model_validate(found, from_attributes=True)


def choices(found: Sequence[concept.Candidate]) -> list[models.Choice]:
    return [
        models.Choice(
            name=item.definition.name,
            title=item.definition.title,
            kind=item.definition.kind,
            score=item.score,
            scores=dict(item.scores),
        )
        for item in found
    ]


def excerpts(found: Sequence[passage.Passage]) -> list[models.Excerpt]:
    return [
        models.Excerpt(
            document=item.document.id,
            kind=item.document.kind,
            title=item.document.title,
            source=item.document.source,
            heading=item.heading,
            text=item.text[:_LONGEST_EXCERPT],
            score=item.score,
            by=list(item.by),
        )
        for item in found
    ]


def notices(found: Sequence[degradation.Notice]) -> list[models.Notice]:
    return [models.Notice.model_validate(item, from_attributes=True) for item in found]


def figures(found: answer.Figures | None) -> models.Figures | None:
    if found is None:
        return None
    return models.Figures(
        columns=list(found.table.columns),
        rows=[list(row) for row in found.table.rows],
        unit=found.unit,
        as_of=found.table.as_of,
        stale_since=found.kept_at,
        sql=found.table.query,
    )


def confidence(found: concept.Confidence | None) -> models.Confidence | None:
    return None if found is None else models.Confidence.model_validate(found, from_attributes=True)


def standing(found: Standing) -> models.Standing:
    guard = found.guard
    return models.Standing(
        store=found.store,
        mode=found.mode,
        breaker=guard.breaker if guard else None,
        since=guard.since if guard else None,
        failures=guard.failures if guard else 0,
        running=guard.running if guard else 0,
        waiting=guard.waiting if guard else 0,
    )


def _data(found: Any) -> Any:
    return to_data(found)
