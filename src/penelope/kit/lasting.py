"""Spares the garbage collector what lasts as long as the process."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """What is made meanwhile is not searched for garbage: not now, which is a fifth of a start, and never again.

    For imports: garbage made meanwhile stays if it is cyclic. See https://docs.python.org/3/library/gc.html#gc.freeze.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()
