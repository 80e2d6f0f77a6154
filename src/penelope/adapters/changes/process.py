"""What changed on a supervised program: its releases."""

import asyncio
from collections.abc import Mapping

from penelope.adapters.actions.process import releases_of
from penelope.adapters.actions.releases import Releases
from penelope.domain.service import Target
from penelope.kit.canonical import Json
from penelope.kit.clock import timestamp


class ProcessChanges:
    """``release``, ``previous_release`` and ``deployed_at``; a fact that is not known is left out."""

    async def changes(self, target: Target) -> Mapping[str, Json]:
        releases = releases_of(target)
        return {} if releases is None else await asyncio.to_thread(_read, releases)


def _read(releases: Releases) -> dict[str, Json]:
    deployed_at = releases.deployed_at()
    facts = {
        "release": releases.present(),
        "previous_release": releases.previous(),
        "deployed_at": None if deployed_at is None else timestamp(deployed_at),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}
