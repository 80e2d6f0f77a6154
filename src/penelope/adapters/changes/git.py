"""What changed in a repository: its last commit."""

from collections.abc import Mapping
from pathlib import Path

from penelope.adapters.actions.git import Repository, committed_at
from penelope.adapters.actions.git_patch import GitOptions
from penelope.adapters.actions.git_provenance import OUR_TRAILERS
from penelope.adapters.actions.options import read_options
from penelope.domain.service import Target
from penelope.kit.canonical import Json
from penelope.kit.clock import timestamp

_FORMAT = "%H%x00%s%x00%an%x00%cI%x00" + OUR_TRAILERS


class GitChanges:
    """``head``, ``last_change`` (subject, author, time) and ``head_is_ours``: whether Penelope committed it."""

    async def changes(self, target: Target) -> Mapping[str, Json]:
        repository = Repository(Path(read_options(GitOptions, target).repository))
        head, subject, author, at, *trailers = await repository.names(
            "log", "-z", "--max-count=1", f"--format={_FORMAT}"
        )
        return {
            "head": head,
            "last_change": {
                "subject": subject,
                "author": author,
                "at": timestamp(committed_at(at)),
            },
            "head_is_ours": any(trailers),
        }
