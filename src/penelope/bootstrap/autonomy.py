"""Makes the policy of autonomy from the settings."""

from collections.abc import Collection

from penelope.domain.autonomy import Level
from penelope.errors import BadSettings
from penelope.rooms.learn.autonomy import Policy
from penelope.settings.autonomy import Autonomy


def policy_of(settings: Autonomy, services: Collection[str], playbooks: Collection[str]) -> Policy:
    """Raises BadSettings for a cap of a name that nothing has: misspelt, it would hold nobody back."""
    _expect("autonomy.service_caps", settings.service_caps, services, "service of the catalogue")
    _expect("autonomy.playbook_caps", settings.playbook_caps, playbooks, "playbook of the library")
    return Policy(
        start=Level(settings.start),
        fall_levels=settings.fall_levels,
        floor=Level(settings.floor),
        needed={
            Level.SUGGEST: settings.suggest_bound,
            Level.SUPERVISED: settings.supervised_bound,
            Level.AUTONOMOUS: settings.autonomous_bound,
        },
        cap=Level(settings.cap),
        service_caps={name: Level(level) for name, level in settings.service_caps.items()},
        playbook_caps={name: Level(level) for name, level in settings.playbook_caps.items()},
    )


def _expect(setting: str, names: Collection[str], known: Collection[str], what: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        message = f"{setting}: no {what} is called {', '.join(map(repr, unknown))}"
        raise BadSettings(message, hint="Correct the name; a cap under another name would hold nothing back.")
