"""What is asked of the context, and what is answered about it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from penelope.domain.access import Classification, Masking
from penelope.domain.answer import Outcome
from penelope.domain.concept import LONGEST_CONCEPT, DefinitionKind
from penelope.domain.degradation import DegradationMode, Store
from penelope.kit.call_breaker import BreakerState
from penelope.kit.described import Described
from penelope.settings.context import Zone

_WANTED = ConfigDict(extra="forbid")

Concept = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_CONCEPT, pattern=r"^[^\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Short = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")]


class UserContext(Described):
    """For whom it is asked. Another role or region than the caller's own needs a key with the scope `delegate`."""

    model_config = _WANTED

    role: Short | None = None
    """The role by which the policy judges; by default that of the caller's key (setting `context.roles`)."""
    region: Short | None = None
    """The region that the person is bound to; by default that of the caller's key."""
    purpose: Short = ""
    """To which end it is asked, such as `fraud-review`."""
    zone: Zone | None = None
    """The time zone in which "yesterday" is meant, such as `Europe/Berlin`; by default that of the settings."""


class WantedAnswer(Described):
    """A concept in words, such as "APAC revenue last quarter"."""

    model_config = _WANTED

    concept: Concept
    user_context: UserContext = UserContext()
    execute: bool = False
    """Whether the value is wanted too, and not only what it is."""


class WantedSearch(Described):
    """Words to look for in documents and definitions."""

    model_config = _WANTED

    query: Concept
    kinds: Annotated[list[Short], Field(max_length=20)] = []  # noqa: RUF012 - pydantic copies it
    """Kinds of documents, such as `runbook`; none is all."""
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    """The most documents."""
    user_context: UserContext = UserContext()


class WantedCorrection(Described):
    """What somebody means by words that were taken for something else, or for nothing."""

    model_config = _WANTED

    phrase: Concept
    """The words, such as "takings"."""
    name: Name
    """The name of the definition that they mean, such as `orders.revenue`."""
    id: Annotated[str, StringConstraints(pattern=r"^ans_[a-z0-9]{1,40}$")] | None = None
    """The id of the answer that is corrected."""
    user_context: UserContext = UserContext()


class WantedWithdrawal(Described):
    """Words that shall mean again what they did before they were taught."""

    model_config = _WANTED

    phrase: Concept
    """The words, such as "takings"."""
    user_context: UserContext = UserContext()


class WantedReplay(Described):
    """For whom an answer is made again; by default for the caller, or as then if the caller may ask for others."""

    model_config = _WANTED

    user_context: UserContext | None = None


class Notice(Described):
    """What an answer lacks because a store could not be asked."""

    store: Store
    mode: DegradationMode
    message: str
    since: datetime


class Definition(Described):
    """What a name means."""

    name: str
    kind: DefinitionKind
    title: str
    description: str
    unit: str
    owner: str
    version: str
    certified: bool
    deprecated: str
    """By what it was replaced, or "yes"; empty where it is in force."""
    classification: Classification
    synonyms: list[str]
    source: str
    """Where it is defined."""


class Choice(Described):
    """A definition that may be meant."""

    name: str
    title: str
    kind: DefinitionKind
    score: float
    scores: dict[str, float]
    """Its features, 0 to 1 each."""


class Excerpt(Described):
    """A part of a document."""

    document: str
    kind: str
    title: str
    source: str
    heading: str
    text: str
    score: float
    by: list[str]
    """What found it: `words`, `meaning`, or both."""


class Figures(Described):
    """A table with its unit."""

    columns: list[str]
    rows: list[list[Any]]
    unit: str
    as_of: datetime | None
    """When the data was last renewed; null where nobody knows."""
    stale_since: datetime | None
    """Of the last known value, when it was asked for; null for one of now."""
    sql: str
    """What was asked; values stand beside it."""


class Confidence(Described):
    """How likely the definition is the one meant, 0 to 1; the contributions add up to its log-odds."""

    value: float
    contributions: list[tuple[str, float]]


class Told(Described):
    """An answer. It is kept in the ledger under its id."""

    id: str
    concept: str
    outcome: Outcome
    at: datetime
    role: str
    """For which role it was judged."""
    definition: Definition
    query: dict[str, Any] | None
    """The question to the semantic layer, in Cube's terms; the row filters are in it."""
    asked: dict[str, Any] | None
    """The named question to the graph."""
    value: Figures | None
    compared: Figures | None
    """The same of the period that it is held against."""
    rows: list[dict[str, Any]]
    """What the graph answered."""
    lineage: list[dict[str, Any]]
    documents: list[Excerpt]
    confidence: Confidence | None
    alternatives: list[Choice]
    row_filters: list[dict[str, Any]]
    masks: dict[str, Masking]
    notices: list[Notice]
    unmet: list[str]
    """Things said that the question could not take up; then there is no value."""


class Found(Described):
    """What a search found, the best first."""

    look: str
    """The id under which the ledger has that it was told."""
    definitions: list[Choice]
    documents: list[Excerpt]
    notices: list[Notice]


class Asset(Definition):
    """One definition."""

    look: str
    """The id under which the ledger has that it was told."""


class Assets(Described):
    """Definitions by name. Send `next` as `after` for those that follow."""

    look: str
    """The id under which the ledger has that it was told."""
    assets: list[Definition]
    next: str | None
    notices: list[Notice]


class Lineage(Described):
    """What a definition is made of, and what is made of it."""

    look: str
    """The id under which the ledger has that it was told."""
    name: str
    up: list[dict[str, Any]]
    """What it is made of, the nearest first."""
    down: list[dict[str, Any]]
    """What is made of it."""
    notices: list[Notice]


class Explanation(Described):
    """How a concept was understood, without its value."""

    look: str
    """The id under which the ledger has that it was told."""
    concept: str
    outcome: Outcome
    why: str
    definition: Definition | None
    parsed: dict[str, Any] | None
    """Period, filters, groupings and words that nothing explains; null for what cannot be read."""
    candidates: list[Choice]
    """All that were weighed, the likeliest first."""
    confidence: Confidence | None
    query: dict[str, Any] | None
    row_filters: list[dict[str, Any]]
    masks: dict[str, Masking]
    notices: list[Notice]


class Correction(Described):
    """A phrase that means a definition from now on."""

    phrase: str
    name: str
    actor: str
    at: datetime


class Withdrawal(Described):
    """A phrase that is taught no more, by whose word."""

    phrase: str
    actor: str
    at: datetime


class KeptAnswer(Described):
    """An answer as it was told then."""

    id: str
    actor: str
    request: dict[str, Any]
    told: dict[str, Any]


class Difference(Described):
    """A place (a JSON pointer) at which an answer is another one now; null where it has nothing."""

    path: str
    recorded: Any
    again: Any


class Replay(Described):
    """An answer that was made again with the stores, definitions and policies of now."""

    id: str
    again: str
    """The id of the answer of now, which is recorded too."""
    identical: bool
    outcome: Outcome
    changed: list[str]
    """What is another now: `policy`, `definition`, `query`, `figures`, `outcome`, `other`."""
    differences: list[Difference]
    notices: list[Notice]


class Standing(Described):
    """How answers go on without a store."""

    store: Store
    mode: DegradationMode
    breaker: BreakerState | None
    """Null for a store that is part of this process."""
    since: datetime | None
    failures: int
    """Failures in a row."""
    running: int
    waiting: int


class Degradation(Described):
    """How each store stands."""

    stores: list[Standing]
