"""Takes past incidents in that ended before Penelope was there."""

from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.precedent import PastCase
from penelope.domain.work import Change
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.flow.wisdom import WisdomBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of an import: how many cases were new, and how many were known before."""

    new: int
    known: int


class CaseImport:
    """All cases of an import are taken, or none; those that are known are left as they are."""

    def __init__(self, engine: Engine, wisdom: WisdomBase) -> None:
        self._engine = engine
        self._wisdom = wisdom

    async def known(self, cases: Sequence[PastCase]) -> int:
        """How many of these cases are known already."""
        return len(await self._wisdom.cases([case.incident for case in cases]))

    async def take(self, cases: Sequence[PastCase], digest: str, actor: str) -> Imported:
        """Keeps cases durably, with an entry in the ledger where any was new. `digest` is the SHA-256 of the file."""
        different = len({case.incident for case in cases})

        async def body(transaction: Transaction) -> int:
            new = await transaction.import_cases(cases)
            if new:
                await transaction.save(_of_import(new, different - new, digest, actor))
            return new

        new: int = await self._engine.transaction("import", body)
        self._wisdom.wake()
        return Imported(new=new, known=different - new)


def _of_import(new: int, known: int, digest: str, actor: str) -> Change:
    counts = {"digest": digest, "new": new, "known": known}
    return Change(
        unit=f"wisdom:{digest}",
        kind="wisdom",
        incident="",
        status="imported",
        attributes=counts,
        event="PastCasesImported",
        actor=actor,
        reason=f"{new} past incidents were taken in, {known} were known",
        details=counts,
    )
