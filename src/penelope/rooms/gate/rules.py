"""What a gate rule is, and what it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.approval import Approval
from penelope.domain.decision import Decision
from penelope.domain.evidence import Dossier
from penelope.domain.gate import RuleVerdict
from penelope.domain.incident import Incident
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan, Playbook
from penelope.domain.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An open incident of a service that this one depends on, which began before."""

    id: str
    service: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What asks for passage. `record` reaches back at least as far as every rule looks."""

    incident: Incident
    service: Service
    dossier: Dossier
    playbook: Playbook
    plan: Plan
    decision: Decision
    record: PlaybookRecord
    approvals: Sequence[Approval]
    now: datetime
    upstream: Sequence[Upstream] = ()


class Rule(Protocol):
    """One check with a name; its limits are its own."""

    @property
    def name(self) -> str:
        """Stands in every verdict, in metrics and in the reference."""

    def check(self, request: Request) -> RuleVerdict:
        """Pass, refuse, wait or ask, with the reason."""
