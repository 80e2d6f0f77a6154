"""A unit's history as the interface tells it, once its payload lies in the archive."""

from types import SimpleNamespace
from typing import Any

from vault import Play, Vault

from penelope.entry.api.verification import get_unit_history
from penelope.flow.keys import Caller, Scope
from penelope.store.reader import SqlReader

ANN = Caller(
    actor="key:ann",
    as_agent="agent:ann",
    holder="ann",
    known=True,
    scopes=frozenset({Scope.READ}),
    described="the key of ann",
)


def test_a_history_shows_what_was_archived(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        application: Any = SimpleNamespace(reader=SqlReader(vault.reading), recall=vault.recall)
        before = await get_unit_history(application, ANN, "plan-7", after=0, limit=10)
        await vault.archiver.archive_once(vault.clock.now())
        assert await get_unit_history(application, ANN, "plan-7", after=0, limit=10) == before
        (entry,) = before.entries
        assert (entry.actor, entry.reason, entry.details) == (
            "penelope",
            "the error rate is 7",
            {"number": 7},
        )
        assert entry.erased is False

    on_vaults(scene)
