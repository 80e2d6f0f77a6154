"""What an incident that has ended teaches: cases, and counts of how a playbook's uses went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.domain.outcome import OutcomeKind
from penelope.domain.service import Service
from penelope.domain.signal import Severity


class Stratum(StrEnum):
    """What the service's own objectives say of a signal: some are missed, none could be seen, or all are met."""

    CONFIRMED = "confirmed"
    UNSEEN = "unseen"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCase:
    """An incident that has ended, as later decisions look back on it; times in seconds.

    `incident` is its id, or `past_` and a digest for an imported one. `playbook` is what acted (or, imported, what
    people did, where that is a playbook's name), and `verified` whether it helped: None where nothing acted.
    `alone_seconds` is how long it was left alone: until it ended by itself (`healed_itself`), was acted on, or was
    handed to people; in the latter two the time that it would have taken is only known to be longer. `stratum` and
    `confidence` are those of the decision that acted; where nothing acted, they are `unseen` and None.
    """

    incident: str
    service: str
    fingerprint: str
    name: str
    severity: Severity
    labels: Mapping[str, str]
    summary: str
    playbook: str | None
    kind: OutcomeKind
    verified: bool | None
    alone_seconds: float
    healed_itself: bool
    stratum: Stratum
    confidence: float | None
    imported: bool
    opened_at: datetime
    ended_at: datetime


def traits(service: Service) -> str:
    """What services can have in common, as one text: two with the same text are alike in what a playbook meets.

    Tier, the kinds of adapters that can change it, and the kind of router before it.
    """
    adapters = ",".join(sorted({target.adapter for target in service.targets.values()}))
    router = "" if service.router is None else service.router.kind
    return f"tier={service.tier} adapters={adapters} router={router}"
