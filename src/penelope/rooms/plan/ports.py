"""What `plan` needs from outside: the playbooks, and a twin to try plans on."""

from typing import Protocol

from penelope.domain.plan import Plan, Playbook
from penelope.domain.rehearsal import Rehearsal
from penelope.domain.service import Service


class PlaybookLibrary(Protocol):
    """The playbooks in force, in order of preference."""

    def playbooks(self) -> tuple[Playbook, ...]:
        """All playbooks; reading them never fails, for they were checked when they were loaded."""


class Twin(Protocol):
    """A copy of what a plan would change, cut off from everything else."""

    async def rehearse(self, plan: Plan, service: Service) -> Rehearsal:
        """Tries a plan there. Never touches the real thing, never raises for what a plan does, leaves nothing behind."""
