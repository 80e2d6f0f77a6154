"""What stops healing, as the settings say."""

from penelope.domain.halt import Limits, ScopeKind
from penelope.flow.halting import Brakes
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.loop import Loop
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Rule
from penelope.settings import Settings


def brakes_of(settings: Settings) -> Brakes:
    gate, brakes = settings.gate, settings.brakes
    failures = {
        ScopeKind.SERVICE: gate.halt_failures,
        ScopeKind.PLAYBOOK: brakes.playbook_failures,
        ScopeKind.CAUSE: brakes.cause_failures,
        ScopeKind.FLEET: brakes.fleet_failures,
    }
    return Brakes(
        limits={
            kind: Limits(
                failures=most, window_seconds=gate.halt_window_seconds, cooldown_seconds=gate.halt_seconds
            )
            for kind, most in failures.items()
        },
        running={ScopeKind.PLAYBOOK: brakes.playbook_running, ScopeKind.FLEET: brakes.fleet_running},
        relapse_seconds=brakes.relapse_seconds,
        rate_seconds=gate.rate_window_seconds,
        loop_seconds=brakes.loop_seconds,
    )


def brake_rules(settings: Settings) -> tuple[Rule, ...]:
    """The first rules of the gate, in their order."""
    gate, brakes = settings.gate, settings.brakes
    actions = {
        ScopeKind.SERVICE: gate.rate_actions,
        ScopeKind.PLAYBOOK: brakes.playbook_actions,
        ScopeKind.FLEET: brakes.fleet_actions,
    }
    return (
        Halt(),
        Rate(actions=actions, window_seconds=gate.rate_window_seconds),
        Loop(heals=brakes.loop_heals, window_seconds=brakes.loop_seconds),
    )
