"""Builds the tree that a patch makes, beside the working tree, and says what stands in its way."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from penelope.adapters.actions import patch_policy
from penelope.adapters.actions.git import Repository, scratch_index
from penelope.errors import ActionFailed, InvalidPatch

PUT_ASIDE = "Commit it or put it aside in the repository, then try again."
_DIFF_NAMES = ("--no-ext-diff", "--no-textconv", "--no-renames", "--name-only", "-z")
_ABSENT = "000000"


@dataclass(frozen=True, slots=True)
class Patch:
    """A diff to be committed; `paths` is what it may touch, None for a diff that git itself made."""

    diff: bytes
    message: str
    trailer: str
    reverse: bool = False
    paths: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """The files that a patch changes, and those among them that it makes."""

    paths: list[str]
    created: list[str]


async def built(repository: Repository, head: str, patch: Patch) -> str:
    """The tree that a patch makes of HEAD's; the working tree is not looked at.

    Where the files have moved since the diff was made, both changes are merged, as far as they touch different lines and
    the repository knows the files that the diff was made against.
    """
    direction = ("--reverse",) if patch.reverse else ()
    command = ("apply", "--cached", "-p1", "--whitespace=nowarn", *direction)
    async with scratch_index() as index:
        await repository.run("read-tree", head, index=index)
        applied = await repository.attempt(*command, "-", stdin=patch.diff, index=index)
        if not applied.ok:
            await repository.run("read-tree", head, index=index)
            merged = await repository.attempt(*command, "--3way", "-", stdin=patch.diff, index=index)
            if not merged.ok:
                torn = await _conflicts(repository, index)
                why = f"conflicts in {listed(torn)}" if torn else applied.complaint
                raise ActionFailed(
                    f"the diff does not apply: {why}", hint="Make it against the repository's HEAD."
                )
        return await repository.text("write-tree", index=index)


async def _conflicts(repository: Repository, index: Path) -> set[str]:
    """The files that were changed on both sides in the same lines."""
    out = await repository.run("ls-files", "--unmerged", "-z", index=index)
    return {entry.partition("\t")[2] for entry in os.fsdecode(out).split("\0")[:-1]}


async def changed(repository: Repository, head: str, tree: str, allowed: frozenset[str] | None) -> Touched:
    """What git makes of the patch, held against what the policy read in it: two readers must agree."""
    fields = await repository.names("diff-tree", "-r", "--raw", "-z", "--no-renames", head, tree)
    touched = Touched([], [])
    for entry, path in zip(fields[::2], fields[1::2], strict=True):
        old, new, *_ = entry.removeprefix(":").split()
        if not {old, new} <= patch_policy.FILE_MODES | {_ABSENT}:
            raise InvalidPatch("the diff makes or changes a link or a submodule")
        if allowed is not None and path not in allowed:
            raise InvalidPatch(f"git reads the path {path!a} in the diff, which no header names")
        touched.paths.append(patch_policy.check_path(path))
        if old == _ABSENT:
            touched.created.append(path)
    if not touched.paths:
        raise ActionFailed("the diff changes nothing")
    if len(touched.paths) > patch_policy.MAX_FILES:
        raise ActionFailed(f"{len(touched.paths)} files would change, more than {patch_policy.MAX_FILES}")
    return touched


async def require_untouched(repository: Repository, head: str, touched: Touched) -> None:
    """Raises ActionFailed when a file that would be overwritten holds uncommitted work."""
    await asyncio.to_thread(patch_policy.refuse_symlinks, repository.path, touched.paths)
    dirty = await edited(repository, head, touched.paths)
    dirty |= await asyncio.to_thread(_in_the_way, repository.path, touched.created)
    if dirty:
        raise ActionFailed(f"uncommitted work is in the way: {listed(dirty)}", hint=PUT_ASIDE)


def _in_the_way(root: Path, created: list[str]) -> set[str]:
    """Of the files to be made, those in whose place there is something, or that need a file as a folder."""
    found = set()
    for path in created:
        place = root / path
        folders = [folder for folder in place.parents if folder.is_relative_to(root)]
        if os.path.lexists(place) or any(folder.is_file() for folder in folders):
            found.add(path)
    return found


async def behind(repository: Repository, commit: str) -> set[str]:
    """The files that a commit touched and whose checkout, or entry in the index, is not at HEAD."""
    touched = await repository.names(
        "diff-tree", "-r", "--no-renames", "--name-only", "-z", f"{commit}^", commit
    )
    return await edited(repository, "HEAD", touched)


async def edited(repository: Repository, commit: str, paths: list[str]) -> set[str]:
    """Those of the paths that differ from a commit, in the index or in the working tree."""
    staged = await repository.names("diff", "--cached", *_DIFF_NAMES, commit, "--", *paths)
    return {*staged, *await repository.names("diff", *_DIFF_NAMES, commit, "--", *paths)}


def listed(paths: set[str]) -> str:
    return ascii(sorted(paths))[:200]
