"""What a save writes into the table of decisions, beside history: what cannot be audited is not decided."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy.dialects import postgresql

from penelope.domain.approval import ApprovalStatus
from penelope.domain.constitution import Article, bit
from penelope.domain.decision import Judgement, Precedent, Score
from penelope.domain.work import ActorKind, Entry
from penelope.kit.clock import timestamp
from penelope.kit.codec import from_data, to_data
from penelope.store.bulk import given
from penelope.store.rows import as_text
from penelope.store.tables import decisions

BANDS = 20
"""Parts of the scale of risks. A search for a range of risks in the order of time looks into each of its bands."""

A_MOMENT = 1024
"""Decisions that can be told apart within one microsecond. More would leave no room for the year 2255."""

TIE = "decisions_tie"
"""The sequence that tells decisions of one microsecond apart on PostgreSQL."""

_LAST_ID = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 64


def first_id(moment: datetime) -> int:
    """The smallest id that a decision of this moment can have; moments beyond what ids reach give the nearest one."""
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return min(max(0, microseconds * A_MOMENT), _LAST_ID)


def band(risk: float) -> int:
    """The band that a risk of 0…1 lies in; the last one includes its upper end."""
    return min(BANDS - 1, int(risk * BANDS))


def words(text: str) -> list[str]:
    """The different words of a text, in order: letters and digits without case, cut where nobody types on.

    Texts and questions are taken apart here, not by the databases, so that both find the same.
    """
    return list(dict.fromkeys(word[:_LONGEST_WORD] for word in _WORD.findall(text.casefold())))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Whether a decision kept an article."""

    article: Article
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the details of an entry tell of a decision."""

    judgement: Judgement
    service: str
    risk: Score
    confidence: Score
    playbook: str | None
    precedents: tuple[Precedent, ...]
    articles: tuple[_Kept, ...] = ()


_WRITTEN = tuple(name for name in decisions.columns.keys() if not name.startswith("overridden"))  # noqa: SIM118 - of a table


def written(entries: Sequence[Entry], *, as_json: bool) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """What entries say of decisions: statements in the form that `bulk` has and their rows.

    A decision is an entry of that kind whose details bear a judgement. A person who refuses a plan overrides
    the latest decision about its incident; a rule of the gate that votes it down does not. Raises ValueError for a decision that tells too little.
    """
    sql = _on_postgresql() if as_json else _on_sqlite()
    made = [entry for entry in entries if is_decision(entry)]
    if made:
        yield sql.insert, [_row(entry) for entry in made]
    for entry in entries:
        if _overrides(entry):
            yield sql.override, [(entry.actor, timestamp(entry.recorded_at), entry.incident)]


def _overrides(entry: Entry) -> bool:
    rejected = (
        entry.kind == "approval" and entry.status_before != entry.status_after == ApprovalStatus.REJECTED
    )
    return rejected and ActorKind.of(entry.actor) is ActorKind.PERSON


def is_decision(entry: Entry) -> bool:
    """Whether the table has a row for an entry."""
    return entry.kind == "decision" and "judgement" in entry.details


def differs(row: Mapping[str, Any], entry: Entry) -> bool:
    """Whether a row says something else than its entry; who overrode the decision is not looked at."""
    first, *rest = _row(entry)
    return not first <= row["id"] < first + A_MOMENT or rest != [row[name] for name in _WRITTEN[1:]]


def _row(entry: Entry) -> tuple[Any, ...]:
    told = from_data(_Told, entry.details)
    special = {
        "id": first_id(entry.recorded_at),
        "service": told.service,
        "judgement": told.judgement.value,
        "risk": told.risk.value,
        "risk_band": band(told.risk.value),
        "confidence": told.confidence.value,
        "playbook": told.playbook,
        "rationale": entry.reason,
        "words": " ".join(words(f"{entry.reason} {told.service} {told.playbook or ''}")),
        "precedents": sum(item.successes + item.failures for item in told.precedents),
        "precedent_list": as_text(to_data(told.precedents)),
        "decided_at": timestamp(entry.recorded_at),
        "broken": sum(bit(item.article) for item in told.articles if not item.kept)
        if told.articles
        else None,
    }
    return tuple(special[name] if name in special else getattr(entry, name) for name in _WRITTEN)


class _Statements(NamedTuple):
    """Rows of `insert` begin with the first id of their moment, of which the database takes one that is free.

    Rows of `override` are person, moment and incident.
    """

    insert: str
    override: str


_REST = ", ".join(_WRITTEN[1:])
_LATEST = "(SELECT max(id) FROM decisions AS latest WHERE latest.incident = new.about)"
_OVERRIDE = "UPDATE decisions SET overridden_by = new.by, overridden_at = new.at"


@cache
def _on_sqlite() -> _Statements:
    given = ", ".join(f"? AS {name}" for name in _WRITTEN)
    free = f"SELECT max(id) + 1 FROM decisions WHERE id BETWEEN new.id AND new.id + {A_MOMENT - 1}"  # noqa: S608 - a figure
    return _Statements(
        insert=(
            f"INSERT INTO decisions (id, {_REST}) "  # noqa: S608 - our own names
            f"SELECT coalesce(({free}), new.id), {_REST} FROM (SELECT {given}) AS new"
        ),
        override=f"{_OVERRIDE} FROM (SELECT ? AS by, ? AS at, ? AS about) AS new WHERE id = {_LATEST}",
    )


@cache
def _on_postgresql() -> _Statements:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it without types
    types = [decisions.columns[name].type.compile(dialect) for name in _WRITTEN]
    return _Statements(
        # To look for a free one would have two writers at once read what the other writes, and one of them fail.
        insert=(
            f"INSERT INTO decisions (id, {_REST}) SELECT id + nextval('{TIE}'), {_REST} "  # noqa: S608 - our own names
            f"FROM {given(types, _WRITTEN)}"
        ),
        override=f"{_OVERRIDE} FROM {given(['text'] * 3, ('by', 'at', 'about'))} WHERE id = {_LATEST}",
    )
