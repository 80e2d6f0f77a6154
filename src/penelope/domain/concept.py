"""A concept that somebody asks for in words, what was understood of it, and the one definition that answers it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.domain.access import Classification, Subject
from penelope.domain.degradation import Notice
from penelope.domain.semantics import Granularity, SemanticQuery
from penelope.kit.canonical import Json

LONGEST_CONCEPT = 500
"""Characters of a concept."""

MOST_WORDS = 60
"""Words of a concept."""


class DefinitionKind(StrEnum):
    """What a definition is of."""

    METRIC = "metric"
    DIMENSION = "dimension"
    SEGMENT = "segment"
    DATASET = "dataset"
    SERVICE = "service"
    TEAM = "team"
    DASHBOARD = "dashboard"
    RUNBOOK = "runbook"
    DOCUMENT = "document"
    RELATION = "relation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a name means. `name` is unique: a member as ``orders.revenue``, else kind and name as ``service:checkout``.

    `values` are what a dimension may hold, each with the words for it; `source` says where it was defined. `deprecated`
    says by what it was replaced, or "yes"; empty where it is in force. `region` is that of its owner.
    """

    name: str
    kind: DefinitionKind
    title: str
    description: str = ""
    unit: str = ""
    owner: str = ""
    region: str = ""
    version: str = ""
    certified: bool = False
    deprecated: str = ""
    classification: Classification = Classification.CONFIDENTIAL
    synonyms: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    is_time: bool = False

    @property
    def cube(self) -> str:
        """The cube of a member; empty for what is none."""
        return self.name.partition(".")[0] if "." in self.name and ":" not in self.name else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A person's word that by `phrase` they mean the definition `name`. It is kept for ever; a later one stands above it."""

    phrase: str
    name: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`at` is the moment it is asked, with its zone; `zone` is the asker's, by its IANA name; empty is the default."""

    concept: str
    subject: Subject
    at: datetime
    zone: str = ""
    execute: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `start` to before `end`, both in `zone`; `granularity` is what it was said in."""

    start: datetime
    end: datetime
    zone: str
    label: str
    granularity: Granularity


class Asking(StrEnum):
    """What is wanted of the thing asked for: a figure, what it is, how it hangs together, or a text on it."""

    FIGURE = "figure"
    MEANING = "meaning"
    RELATION = "relation"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """A filter that was said in `words`. `options` are pairs of a dimension and its value: which one is meant follows from
    what is asked for. `excluded` says that it must not hold.
    """

    words: str
    options: tuple[tuple[str, str], ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What an answer is broken down by, in `words`, and the dimensions that they may name."""

    words: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """The first `count` of an order: the largest where `largest`, else the smallest."""

    count: int
    largest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was understood. `subject_words` name what is asked for; `unknown` are words of weight that nothing explains.

    `periodic` is what a time series is cut into; `compared` is the period it is held against.
    `relation` is the graph's named query that was asked for, empty where none.
    """

    text: str
    asking: Asking
    subject_words: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    period: Period | None = None
    compared: Period | None = None
    periodic: Granularity | None = None
    groupings: tuple[Grouping, ...] = ()
    narrowings: tuple[Narrowing, ...] = ()
    top: Top | None = None
    relation: str = ""
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A definition that may be meant; `scores` are its features by name, each 0…1."""

    definition: Definition
    score: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How likely the definition is the one meant, 0…1. `contributions` add up to its log-odds."""

    value: float
    contributions: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQuestion:
    """A named query of the graph and what it is asked about."""

    name: str
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSearch:
    """Words to search documents for; `kinds` are those wanted, empty is all; `service` is what they should be about."""

    words: str
    kinds: tuple[str, ...] = ()
    service: str = ""


Question = SemanticQuery | GraphQuestion | DocumentSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The one definition that answers a concept, and the question to a store that gives its value.

    `question` is None where the definition itself is the answer. `compared` is the same question of the period that it is
    held against. `unmet` are things said that the question could not take up, in words.
    """

    definition: Definition
    parsed: Parsed
    question: Question | None
    confidence: Confidence
    compared: SemanticQuery | None = None
    alternatives: tuple[Candidate, ...] = ()
    notices: tuple[Notice, ...] = ()
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Several definitions fit about as well: a person must say which. `why` says what they differ in."""

    choices: tuple[Candidate, ...]
    why: str
    parsed: Parsed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """Nothing answers the concept. `nearest` are hints, and never an answer; `why` is for the person who asked."""

    why: str
    nearest: tuple[Candidate, ...] = ()
    parsed: Parsed | None = None


Answer = Resolution | Ambiguous | Unresolved
