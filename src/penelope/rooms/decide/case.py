"""What a decision rests on."""

from dataclasses import dataclass, field
from datetime import datetime

from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.likeness import Likeness
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan, Playbook
from penelope.domain.precedent import PastDurations, Tallies
from penelope.domain.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An incident with all that is known. Without a plan, `obstacles` says why there is none.

    `fits` says that a playbook is meant for this incident, even where it could not be bound yet;
    `dependents` counts the services that lean on this one, directly or through others, by the catalogue or the graph.
    `durations` tells how long such incidents lasted, `tallies` what became of the playbook's uses, and `similar`
    are past cases, the most alike first. Fixes of the service failed at `failed_at`, lately.
    """

    incident: Incident
    service: Service
    dependents: int
    dossier: Dossier
    playbook: Playbook | None = None
    plan: Plan | None = None
    record: PlaybookRecord | None = None
    obstacles: tuple[str, ...] = ()
    fits: bool = False
    durations: PastDurations = field(default_factory=PastDurations)
    tallies: Tallies = field(default_factory=Tallies)
    similar: tuple[Likeness, ...] = ()
    failed_at: tuple[datetime, ...] = ()
