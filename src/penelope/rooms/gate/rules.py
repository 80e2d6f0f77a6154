"""What a gate rule is, and what it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.approval import Approval
from penelope.domain.autonomy import Standing
from penelope.domain.decision import Decision
from penelope.domain.evidence import Dossier
from penelope.domain.gate import RuleVerdict
from penelope.domain.halt import Breakers
from penelope.domain.incident import Incident
from penelope.domain.intervention import Heal, Usage
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan, Playbook
from penelope.domain.service import Service
from penelope.domain.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An open incident of a service that this one depends on, which began before."""

    id: str
    service: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What asks for passage. `standing` is that of the plan's playbook on its service.

    `breakers`, `usage` and `heals` tell what the brakes stand at (domain/halt, domain/intervention), as far back as
    every rule looks; `upstream` what broke before among the services that this one depends on; `refusals` the requests for
    plans of this playbook about this problem that were rejected lately, which only who is about to ask looks up; `trial`
    what came of trying this very plan, which is done only where nothing else refuses; `dependents` how many services are known to
    lean on this one. All the others are None where nobody
    has looked.
    """

    incident: Incident
    service: Service
    dossier: Dossier
    playbook: Playbook
    plan: Plan
    decision: Decision
    record: PlaybookRecord
    approvals: Sequence[Approval]
    now: datetime
    standing: Standing | None = None
    breakers: Breakers | None = None
    usage: Usage | None = None
    heals: Sequence[Heal] | None = None
    upstream: Sequence[Upstream] | None = None
    refusals: Sequence[Approval] | None = None
    trial: Trial | None = None
    dependents: int = 0


class Rule(Protocol):
    """One check with a name; its limits are its own."""

    @property
    def name(self) -> str:
        """Stands in every verdict, in metrics and in the reference."""

    def check(self, request: Request) -> RuleVerdict:
        """Pass, refuse, wait or ask, with the reason."""
