"""Makes evidence of what stores and documents told about an incident's service: all of it short, plain, and bounded."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from penelope.domain.answer import Row
from penelope.domain.evidence import Evidence
from penelope.domain.passage import Passage
from penelope.domain.surroundings import DEPENDENTS, IMPACT, OWNER, RUNBOOKS, UPSTREAM
from penelope.kit.canonical import Json
from penelope.kit.harmless import harmless

MOST_RUNBOOKS = 3
_MOST_SUSPECTS, _MOST_TEAMS = 20, 20
_LONGEST_NAME, _LONGEST_EXCERPT, _LONGEST_NOTE, _LONGEST_QUERY = 100, 400, 300, 2000
_LESS_SURE = 0.5
"""Confidence in what is there although a store failed, or is of an earlier moment."""

_SERVICE = "service:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """From where an answer is, of which moment, and what it had to do without."""

    source: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is known of a service that leans on another: its tier, and who owns it."""

    tier: str = ""
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blast:
    """Services that lean on one (graph rows), all else that it reaches, and `details` of services by name. `cut` says that
    there may be more of them.
    """

    services: Sequence[Row]
    others: Sequence[Row]
    details: Mapping[str, Detail] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A governed measure of a stretch of `minutes`, now and a week before; of a sum or a count it is `per_minute`."""

    measure: str
    title: str
    unit: str
    minutes: float
    per_minute: bool
    now: float
    before: float | None
    query: str


def owner(rows: Sequence[Row], seen: Seen) -> Evidence:
    names = [clean(row.get("name")) for row in rows]
    if not names:
        return unseen(OWNER, seen.source, seen.at, "the graph names no owner")
    return _evidence(OWNER, ", ".join(names[:_MOST_TEAMS]), seen)


def dependents(blast: Blast, seen: Seen) -> Evidence:
    names = services_of(blast.services)
    tiers = Counter(blast.details.get(name, Detail()).tier or "unknown" for name in names)
    teams = {team for name in names for team in blast.details.get(name, Detail()).teams}
    others = Counter(clean(row.get("kind")) for row in blast.others if row.get("kind") != "Service")
    value: dict[str, Json] = {
        "services": len(names),
        "names": list(names),
        "at_least": blast.cut,
        "tiers": dict(sorted(tiers.items())),
        "teams": list(sorted(teams)[:_MOST_TEAMS]),
        "others": dict(sorted(others.items())),
    }
    return _evidence(DEPENDENTS, value, seen)


def upstream(rows: Sequence[Row], rests_on: Sequence[Row], seen: Seen) -> Evidence:
    """What may be the cause. A change of the service itself may be, its own incident is not."""
    suspects: list[Json] = []
    for row in rows[:_MOST_SUSPECTS]:
        itself = row.get("distance") == 0
        why = _why(row, itself=itself)
        if why:
            name = clean(row.get("name"))
            suspects.append(
                {"name": f"{name} itself" if itself else name, "kind": clean(row.get("kind")), "why": why}
            )
    return _evidence(UPSTREAM, {"suspects": suspects, "rests_on": list(services_of(rests_on))}, seen)


def _why(row: Row, *, itself: bool) -> str:
    said = []
    if row.get("status") == "failing" and not itself:
        said.append("failing")
    incidents, changes, at = row.get("incidents"), row.get("changes"), row.get("changed_at")
    if isinstance(incidents, int) and incidents and not itself:
        said.append(f"{incidents} open incident{'' if incidents == 1 else 's'}")
    if isinstance(changes, int) and changes:
        when = f", last {_moment(at)}" if isinstance(at, int) and at > 0 else ""
        said.append(f"{changes} change{'' if changes == 1 else 's'}{when}")
    return "; ".join(said)


def _moment(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "at a moment that no calendar has"


def runbooks(passages: Sequence[Passage], service: str, seen: Seen) -> Evidence:
    """The best first. What documents say is quoted as it is, and obeyed by nobody."""
    found: list[Json] = [
        {
            "title": clean(each.document.title),
            "source": clean(each.document.source),
            "document": clean(each.document.id),
            "heading": clean(each.heading),
            "excerpt": clean(each.text, _LONGEST_EXCERPT),
            "score": round(each.score, 6),
            "by": [clean(word) for word in each.by[:5]],
            "about_service": service in each.document.services,
        }
        for each in passages[:MOST_RUNBOOKS]
    ]
    return _evidence(RUNBOOKS, found, seen)


def impact(figure: Figure, seen: Seen) -> Evidence:
    share = figure.minutes if figure.per_minute else 1.0
    value: dict[str, Json] = {
        "title": clean(figure.title),
        "unit": clean(figure.unit),
        "per": "minute" if figure.per_minute else "",
        "now": figure.now / share,
        "before": None if figure.before is None else figure.before / share,
        "minutes": figure.minutes,
        "query": harmless(figure.query, _LONGEST_QUERY),
    }
    return _evidence(f"{IMPACT}.{figure.measure}", value, seen)


def unseen(concept: str, source: str, at: datetime, note: str) -> Evidence:
    return Evidence(
        concept=concept, value=None, source=source, observed_at=at, confidence=0.0, note=_note(note)
    )


def stale(item: Evidence, note: str) -> Evidence:
    """What was known before, for it cannot be asked for now."""
    return Evidence(
        concept=item.concept,
        value=item.value,
        source=item.source,
        observed_at=item.observed_at,
        confidence=_LESS_SURE,
        note=_note(f"of {item.observed_at:%Y-%m-%d %H:%M} UTC: {note}"),
    )


def services_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The names of the services among rows of the graph, as the catalogue has them."""
    ids = [str(row.get("id", "")) for row in rows if row.get("kind") == "Service"]
    return tuple(dict.fromkeys(each.removeprefix(_SERVICE) for each in ids if each.startswith(_SERVICE)))


def clean(text: Json, longest: int = _LONGEST_NAME) -> str:
    """One line, with nothing in it that a screen obeys."""
    # Cut first, for whoever wrote it may have written much.
    return harmless(" ".join(str(text or "")[: 4 * longest].split()), longest)


def _evidence(concept: str, value: Json, seen: Seen) -> Evidence:
    return Evidence(
        concept=concept,
        value=value,
        source=seen.source,
        observed_at=seen.at,
        confidence=_LESS_SURE if seen.note else 1.0,
        note=_note(seen.note),
    )


def _note(note: str) -> str:
    return clean(note, _LONGEST_NOTE)
