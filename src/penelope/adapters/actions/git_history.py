"""The history of patches, read from the commits of a repository: who wanted what, why, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from penelope.adapters.actions.git import Repository, committed_at
from penelope.adapters.actions.git_provenance import (
    ACTION_TRAILER,
    COMPENSATION_TRAILER,
    REVERSES_TRAILER,
    TRAILERS,
)

_KEYS = (ACTION_TRAILER, COMPENSATION_TRAILER, REVERSES_TRAILER, *TRAILERS.values())
_FORMAT = "%x00".join(
    ("%H", "%cI", "%s", *(f"%(trailers:key={key},valueonly,separator=%x20)" for key in _KEYS))
)
_FIELDS = 3 + len(_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A commit that an action made. `compensated_by` is the commit that took it back, None while it is in force; what its
    maker left out is an empty text.
    """

    commit: str
    action: str
    who: str
    why: str
    incident: str
    playbook: str
    parent: str
    at: datetime
    subject: str
    compensated_by: str | None


async def history(repository_path: Path, limit: int) -> list[Patch]:
    """The patches among the last `limit` commits of the branch, the newest first. Raises Unavailable or Timeout."""
    fields = await Repository(repository_path).names(
        "log", "-z", "--first-parent", f"--max-count={max(1, limit)}", f"--format={_FORMAT}"
    )
    taken_back: dict[str, str] = {}
    found: list[Patch] = []
    for start in range(0, len(fields), _FIELDS):
        commit, at, subject, action, compensation, reverses, *said = fields[start : start + _FIELDS]
        if compensation:
            taken_back.setdefault(compensation, commit)
        # A reversal that was itself taken back does not count: the patch is in force again.
        if reverses and action not in taken_back:
            taken_back.setdefault(reverses, commit)
        if action:
            found.append(
                Patch(
                    commit=commit,
                    action=action,
                    at=committed_at(at),
                    subject=subject,
                    compensated_by=taken_back.get(action),
                    **dict(zip(TRAILERS, said, strict=True)),
                )
            )
    return found
