"""Puts benchmarks together."""

from contextlib import AsyncExitStack

from penelope.bootstrap.background import background
from penelope.domain.benchmark import Benching
from penelope.flow.benchmark_desk import BenchmarkDesk, BenchmarkReader
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.settings.benchmark import Benchmark


def benching_of(settings: Benchmark) -> Benching:
    return Benching(
        looks=settings.looks,
        pause_seconds=settings.pause_seconds,
        patience_seconds=settings.patience_seconds,
    )


async def benchmarks_of(
    stack: AsyncExitStack, settings: Benchmark, engine: Engine, reader: BenchmarkReader, parts: Parts
) -> BenchmarkDesk:
    """The desk, which keeps baselines in the background until the stack is unwound."""
    desk = BenchmarkDesk(engine, reader, parts)
    await background(stack, desk.keep(settings.baseline_seconds))
    return desk
