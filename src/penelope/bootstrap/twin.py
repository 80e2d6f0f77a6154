"""Puts together the twin on which plans are tried."""

from penelope.adapters.actions.installed import installed
from penelope.adapters.twin.copies import Bounds
from penelope.adapters.twin.limits import MIB, of_settings
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.rooms.act.ports import Secrets
from penelope.settings.twin import Twin as TwinSettings


def twin_of(settings: TwinSettings, secrets: Secrets) -> SandboxTwin | None:
    """None where no plan is to be tried. `secrets` let a database be read of which a copy is made."""
    if not settings.enabled:
        return None
    rules = Rules(
        limits=of_settings(settings),
        bounds=Bounds(size=settings.copy_mib * MIB, files=settings.copy_files),
        required=settings.required,
        timeout_seconds=settings.timeout_seconds,
    )
    return SandboxTwin(installed(), rules, secrets)
