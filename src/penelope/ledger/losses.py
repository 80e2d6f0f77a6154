"""Losses of log records on their way into the ledger, where each loss is an entry itself."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from penelope.kit.ids import new_id

UNWRITABLE = "no JSON can be made of it"
REJECTED = "rejected by the sink"
UNWRITTEN = "not written before the end"
DAMAGED = "damaged in the spill file"
"""Reasons of a loss."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Accepted records that will not be written, and why. The id is that of the report, should it come twice."""

    id: str
    records: int
    reason: str


OnLoss: TypeAlias = Callable[[Loss], Awaitable[None]]


class Losses:
    """Losses that were not reported yet, added up by reason."""

    def __init__(self, on_loss: OnLoss) -> None:
        self._on_loss = on_loss
        self._untold: Counter[str] = Counter()
        self._telling: Loss | None = None
        self.total = 0

    def add(self, records: int, reason: str) -> None:
        if records:
            self.total += records
            self._untold[reason] += records

    async def report(self) -> None:
        """A report that failed is repeated as it was, whatever was lost since: it may have arrived after all."""
        while loss := self._next():
            try:
                await self._on_loss(loss)
            except Exception as error:  # noqa: BLE001 - kept until the ledger can take it
                _log.warning("a loss of log records cannot be recorded yet: %s", type(error).__name__)
                return
            self._telling = None

    def _next(self) -> Loss | None:
        if self._telling is None and self._untold:
            reason, records = self._untold.popitem()
            self._telling = Loss(id=new_id("loss"), records=records, reason=reason)
        return self._telling

    def unreported(self) -> list[Loss]:
        rest = [Loss(id="", records=records, reason=reason) for reason, records in self._untold.items()]
        return rest if self._telling is None else [self._telling, *rest]
