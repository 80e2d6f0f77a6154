"""Who is told how concepts are resolved, so that it can be counted."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from penelope.domain.access import Access
from penelope.domain.answer import Told
from penelope.domain.degradation import Store

Found = TypeVar("Found")


class ResolveObserver(Protocol):
    """No method may raise. Whatever it keeps must not grow with what is asked: concepts and subjects come from outside."""

    def concept_told(self, told: Told | None, seconds: float) -> None:
        """A request was answered; None where it was cut off, or a store gave more than it may."""

    def store_asked(self, store: Store, seconds: float) -> None:
        """A store was asked once, and answered or failed. One that is left alone is not asked."""

    def access_decided(self, answers: Iterable[Access]) -> None:
        """The policy answered questions of access."""

    def cache_asked(self, cache: str, *, hits: int = 0, misses: int = 0) -> None:
        """So often something was there already, and so often not; `cache` is one of a few words of our own."""


class Unobserved:
    """A ResolveObserver that nobody listens to."""

    def concept_told(self, told: Told | None, seconds: float) -> None:
        pass

    def store_asked(self, store: Store, seconds: float) -> None:
        pass

    def access_decided(self, answers: Iterable[Access]) -> None:
        pass

    def cache_asked(self, cache: str, *, hits: int = 0, misses: int = 0) -> None:
        pass


def timed(
    observer: ResolveObserver, store: Store, work: Callable[[], Awaitable[Found]]
) -> Callable[[], Awaitable[Found]]:
    """The same work, of which the observer is told how long it took."""

    async def ask() -> Found:
        began = time.perf_counter()
        try:
            return await work()
        finally:
            observer.store_asked(store, time.perf_counter() - began)

    return ask
