"""Puts benchmarks together."""

from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.bootstrap.background import background
from penelope.domain.benchmark import Benching
from penelope.flow.benchmark_desk import BenchmarkDesk
from penelope.flow.engine import Engine
from penelope.flow.parts import Parts
from penelope.settings.benchmark import Benchmark
from penelope.store.benchmarks import SqlBenchmarks


def benching_of(settings: Benchmark) -> Benching:
    return Benching(
        looks=settings.looks,
        pause_seconds=settings.pause_seconds,
        patience_seconds=settings.patience_seconds,
    )


async def benchmarks_of(
    stack: AsyncExitStack, settings: Benchmark, engine: Engine, reading: AsyncEngine, parts: Parts
) -> BenchmarkDesk:
    """The desk, which keeps baselines in the background until the stack is unwound."""
    desk = BenchmarkDesk(engine, SqlBenchmarks(reading), parts)
    await background(stack, desk.keep(settings.baseline_seconds))
    return desk
