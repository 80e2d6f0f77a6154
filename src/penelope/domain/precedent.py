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


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """How long cases were left alone, in seconds: those that then ended by themselves, and those that did not and so
    would have lasted longer.
    """

    healed: tuple[float, ...] = ()
    cut: tuple[float, ...] = ()

    def __add__(self, other: "Durations") -> "Durations":
        return Durations(healed=self.healed + other.healed, cut=self.cut + other.cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDurations:
    """Durations of the same problem of the same service, lived and imported, and of its name on other services."""

    here: Durations = Durations()
    imported: Durations = Durations()
    elsewhere: Durations = Durations()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often a playbook's uses were verified, and how often not."""

    successes: int = 0
    failures: int = 0

    @property
    def uses(self) -> int:
        return self.successes + self.failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """Tallies of one stratum, each level a part of the one before it: every playbook, this one, this one on services
    with the same traits, this one on this service. `imported` is what was imported of this playbook, of any stratum.
    """

    everything: Tally = Tally()
    playbook: Tally = Tally()
    alike: Tally = Tally()
    service: Tally = Tally()
    imported: Tally = Tally()


def traits(service: Service) -> str:
    """What services can have in common, as one text: two with the same text are alike in what a playbook meets.

    Tier, the kinds of adapters that can change it, and the kind of router before it.
    """
    adapters = ",".join(sorted({target.adapter for target in service.targets.values()}))
    router = "" if service.router is None else service.router.kind
    return f"tier={service.tier} adapters={adapters} router={router}"
