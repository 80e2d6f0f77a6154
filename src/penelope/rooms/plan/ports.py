"""What `plan` needs from outside: the playbooks."""

from typing import Protocol

from penelope.domain.plan import Playbook


class PlaybookLibrary(Protocol):
    """The playbooks in force, in order of preference."""

    def playbooks(self) -> tuple[Playbook, ...]:
        """All playbooks; reading them never fails, for they were checked when they were loaded."""
