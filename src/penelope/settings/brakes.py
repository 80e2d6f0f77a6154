"""What stops healing that runs away, beyond a single service."""

from pydantic import Field

from penelope.settings.section import Count, Seconds, Section


class Brakes(Section):
    """What stops healing that runs away: breakers, budgets and loops. Those of a single service are in `gate`."""

    playbook_failures: Count = 3
    """How many failures within `gate.halt_window_seconds`, on any service, halt a playbook."""

    cause_failures: Count = 3
    """How many failures within `gate.halt_window_seconds`, by any playbook, halt the healing of a problem."""

    fleet_failures: Count = 10
    """How many failures within `gate.halt_window_seconds`, of anything, halt all healing everywhere."""

    relapse_seconds: Seconds = 1800
    """A problem that comes back within this time, in seconds, after it was healed counts as a failure of its fix."""

    playbook_actions: Count = 30
    """The most actions by one playbook, on all services, within `gate.rate_window_seconds`."""

    fleet_actions: Count = 100
    """The most actions in all within `gate.rate_window_seconds`."""

    playbook_running: Count = 3
    """The most interventions by one playbook at once; one more waits its turn. On one service there is never more
    than one."""

    fleet_running: Count = 10
    """The most interventions at once; one more waits its turn."""

    loop_heals: int = Field(default=5, ge=1)
    """A problem that was healed so often within `brakes.loop_seconds` goes to people: the fix is not a fix."""

    loop_seconds: Seconds = 86_400
    """The window, in seconds, in which those heals are counted."""
