"""What somebody was told about a concept, with all that was left out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.domain.access import Masking, Subject
from penelope.domain.concept import Candidate, Confidence, Definition, GraphQuestion
from penelope.domain.degradation import Notice
from penelope.domain.passage import Passage
from penelope.domain.semantics import Condition, SemanticQuery, Table
from penelope.kit.canonical import Json

Row = Mapping[str, Json]


class Outcome(StrEnum):
    """RESOLVED has a definition; AMBIGUOUS has choices; UNRESOLVED has neither; DENIED has reasons of the policy.

    UNAVAILABLE is what cannot be told because no store knows the definitions just now.
    """

    RESOLVED = "resolved"
    AMBIGUOUS = "ambiguous"
    UNRESOLVED = "unresolved"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A table with its unit. `kept_at` is None for one that was asked for now; else it is stale, and from that moment."""

    table: Table
    unit: str = ""
    kept_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer. `query` is the one that was asked, `row_filters` in it; `masks` are by member. `rows` are those of the
    graph question `asked`, `lineage` what the definition is made of, `passages` what documents say.

    `value` is None where none was asked for, or where no store could give one: `notices` say so then. `unmet` are things
    said that the query could not take up; then nothing is executed.
    """

    concept: str
    subject: Subject
    at: datetime
    outcome: Outcome
    why: str = ""
    definition: Definition | None = None
    query: SemanticQuery | None = None
    asked: GraphQuestion | None = None
    value: Figures | None = None
    compared: Figures | None = None
    rows: tuple[Row, ...] = ()
    lineage: tuple[Row, ...] = ()
    passages: tuple[Passage, ...] = ()
    confidence: Confidence | None = None
    choices: tuple[Candidate, ...] = ()
    row_filters: tuple[Condition, ...] = ()
    masks: Mapping[str, Masking] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    unmet: tuple[str, ...] = ()
