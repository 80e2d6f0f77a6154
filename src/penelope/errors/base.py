"""The root of all errors."""

from collections.abc import Mapping
from typing import ClassVar


class PenelopeError(Exception):
    """Base of all errors; `code` is stable, `hint` tells a person what to do next.

    `members` are plain JSON that a problem tells beside the message, such as the choices of what is ambiguous.
    """

    code: ClassVar[str] = "penelope_error"
    retryable: ClassVar[bool] = False
    hint: ClassVar[str] = "Look into the server's log for the request id."

    def __init__(
        self, message: str, *, hint: str | None = None, members: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.members = dict(members or {})
        self.advice = hint if hint is not None else type(self).hint
