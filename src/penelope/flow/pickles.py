"""Keeps the durable engine from unpickling what somebody has put into its tables."""

from typing import Any

import dbos._serialization as dbos_serialization


class PickleRefused(Exception):
    """A row of the engine's tables asked to be unpickled: only someone who tampers writes such rows."""


def block_pickle() -> None:
    """Makes the engine's pickle reader refuse.

    The engine unpickles any row that says it is pickled, whatever serializer is configured, so that whoever can
    write a row could run code here (stack.md). Our rows are JSON.
    """

    def refuse(*_: object) -> Any:
        message = "pickled data in the engine's tables"
        raise PickleRefused(message)

    # Its writer is left alone: a story whose row was tampered with is noted as failed in the form that the row names.
    setattr(dbos_serialization.DefaultSerializer, "deserialize", refuse)  # noqa: B010 - checkers see no overwriting
