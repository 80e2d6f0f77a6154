"""What is answered about past cases."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from penelope.domain.outcome import OutcomeKind
from penelope.domain.signal import Severity
from penelope.kit.described import Described


def _with(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class WantedImport(BaseModel):
    """How an import is to be taken."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Annotated[bool, Field(description="Whether to look only, and keep nothing.")] = False
    first_line: Annotated[
        Annotated[int, Field(ge=1, le=2**31)],
        Field(
            description="The number that mistakes in the first line are told with, where a file is sent in pieces."
        ),
    ] = 1


class PastCase(Described):
    """An incident that has ended, as later decisions look back on it."""

    model_config = _with(
        incident="past_0cc175b9c0f1b6a831c399e269772661",
        service="shop",
        fingerprint="8477e499262cad63d42d08b38af144cb",
        name="HighErrorRate",
        severity="critical",
        labels={"region": "eu-1"},
        summary="12 % of requests failed after a release",
        playbook="rollback-release",
        kind="healed",
        verified=True,
        alone_seconds=240.0,
        healed_itself=False,
        imported=True,
        opened_at="2026-03-02T09:12:00Z",
        ended_at="2026-03-02T09:31:00Z",
    )

    incident: str
    """Its id; of an imported one `past_` and a digest of what it says."""
    service: str
    fingerprint: str
    name: str
    severity: Severity
    labels: dict[str, str]
    summary: str
    playbook: str | None
    """What acted, or by what people helped."""
    kind: OutcomeKind
    verified: bool | None
    """Whether the playbook helped; null where none acted."""
    alone_seconds: float
    """How long it was left alone: until it ended by itself, was acted on, or was handed to people."""
    healed_itself: bool
    imported: bool
    opened_at: datetime
    ended_at: datetime


class FoundCase(Described):
    """A past case that a search found."""

    case: PastCase
    likeness: float | None
    """How much it is like what was asked, 0 to 1; null where nothing was asked."""
    by: list[Literal["meaning", "keywords"]]
    """What it was found by."""


class CasesFound(Described):
    """Past cases, those that are most like the question first; without a question the newest."""

    found: list[FoundCase]
    degraded: str
    """Why the search went by words alone; empty where it went by meaning too."""


class LeanedOn(Described):
    """A past case that a decision leaned on."""

    incident: str
    similarity: float
    """How much it is like the incident, 0 to 1."""
    by: list[Literal["fingerprint", "name", "labels", "meaning", "keywords"]]
    """What it is like it in."""
    verified: bool | None
    """Whether the playbook of the plan helped there; null where it was not used."""
    agrees: bool | None
    """Whether what came of it speaks for the plan that was at hand; null where it says nothing about it."""
    case: PastCase | None
    """The case itself; null where it is not kept any more."""


class ImportedCases(Described):
    """What became of an import; all of its incidents were taken."""

    model_config = _with(
        new=31,
        known=4,
        dry_run=False,
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    )

    new: int
    """Past incidents that were not known before."""
    known: int
    """Past incidents that were there already, or twice in the file; nothing about them was changed."""
    dry_run: bool
    """Whether it was only looked at; then nothing was kept."""
    digest: str
    """The SHA-256 of what was sent, under which the ledger keeps the import."""
