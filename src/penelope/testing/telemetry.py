"""A sink of log lines, a ledger of losses and an observer, which fail as they are told to."""

from collections import deque
from collections.abc import Callable, Sequence

from penelope.domain.log import LogLine
from penelope.errors import Unavailable
from penelope.ledger.buffer import Counts
from penelope.ledger.losses import Loss

Trouble = Callable[[Sequence[LogLine]], Exception | None]


class FakeSink:
    """Keeps lines in memory, each batch once; `trouble` says what a write raises, `after` whether what was not
    rejected for good was written nonetheless.
    """

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.tried: list[str] = []
        self.trouble: Trouble = lambda _: None
        self.after = False
        self._known: set[str] = set()

    async def write(self, batch_id: str, lines: Sequence[LogLine]) -> None:
        self.tried.append(batch_id)
        error = self.trouble(lines)
        written = error is None or (self.after and not isinstance(error, ValueError | TypeError))
        if written and batch_id not in self._known:
            self._known.add(batch_id)
            self.lines += lines
        if error is not None:
            raise error


class FakeLossLedger:
    """Keeps losses, each report once, and raises Unavailable as long as it is `down`."""

    def __init__(self) -> None:
        self.losses: dict[str, Loss] = {}
        self.down = False

    async def __call__(self, loss: Loss) -> None:
        if self.down:
            raise Unavailable("the ledger is down")
        self.losses[loss.id] = loss

    def by_reason(self) -> dict[str, int]:
        told: dict[str, int] = {}
        for loss in self.losses.values():
            told[loss.reason] = told.get(loss.reason, 0) + loss.records
        return told


class FakeObserver:
    """Remembers the sizes of batches, and the latest counts."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.standings: deque[Counts] = deque(maxlen=1)

    def flushed(self, records: int, seconds: float) -> None:
        assert seconds >= 0  # noqa: S101 - part of a test
        self.sizes.append(records)

    def counted(self, counts: Counts) -> None:
        self.standings.append(counts)
