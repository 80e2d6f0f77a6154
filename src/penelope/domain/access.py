"""Who asks for what to which end, and what the policy says to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penelope.domain.semantics import Condition


class Classification(StrEnum):
    """How much harm it does where others see it; what nobody classified is CONFIDENTIAL."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"
    PII = "pii"


class Verb(StrEnum):
    """Whether it may be known that an asset is there, and whether what is in it may be seen."""

    DISCOVER = "discover"
    READ = "read"


class Masking(StrEnum):
    """What becomes of a value: a keyed hash of it, its end alone, or nothing at all."""

    HASH = "hash"
    PARTIAL = "partial"
    NULL = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks; `region` and `purpose` are empty where they are not said."""

    actor: str
    role: str
    region: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What is asked for: a cube, a definition, a document, a node of the graph. `columns` are its members by name."""

    name: str
    kind: str
    classification: Classification = Classification.CONFIDENTIAL
    owner: str = ""
    columns: Mapping[str, Classification] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessQuestion:
    subject: Subject
    verb: Verb
    asset: Asset


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A policy's answer: rows are left that meet all of `row_filters`; `masks` are by column.

    Where the policy says nothing, breaks or is late, it is no: `failed` says why then.
    """

    allow: bool
    row_filters: tuple[Condition, ...] = ()
    masks: Mapping[str, Masking] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    failed: str = ""
