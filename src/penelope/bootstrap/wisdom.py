"""Puts the wisdom base together."""

from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.vector.memory import MemoryIndex
from penelope.adapters.vector.minilm import MiniLm
from penelope.bootstrap.background import background
from penelope.flow.wisdom import Limits, WisdomBase
from penelope.kit.clock import Clock
from penelope.settings.wisdom import Wisdom
from penelope.store.cases import SqlCases
from penelope.store.reader import SqlReader


async def wisdom_base(
    stack: AsyncExitStack, settings: Wisdom, writer: AsyncEngine, reading: AsyncEngine, clock: Clock
) -> WisdomBase:
    """The wisdom base, which learns of new cases until the stack is unwound."""
    embedder = None
    if settings.meaning:
        embedder = MiniLm()
        stack.callback(embedder.close)
    limits = Limits(
        patience_seconds=settings.patience_seconds,
        refresh_seconds=settings.refresh_seconds,
        most_cases=settings.most_cases,
    )
    store, reader = SqlCases(writer, reading), SqlReader(reading)
    base = WisdomBase(store, MemoryIndex(settings.most_cases), embedder, reader, limits)
    await background(stack, base.run(clock))
    return base
