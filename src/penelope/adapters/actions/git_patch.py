"""Applies or reverts a diff as a commit in a git repository."""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions import patch_policy
from penelope.adapters.actions.git import Repository, scratch_index
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    InvalidPatch,
    InvalidPlaybook,
    OutcomeUnknown,
)
from penelope.kit.canonical import Json

ACTION_TRAILER = "Penelope-Action"
COMPENSATION_TRAILER = "Penelope-Compensation"
OUR_TRAILERS = "%x00".join(
    f"%(trailers:key={key},valueonly,separator=%x20)" for key in (ACTION_TRAILER, COMPENSATION_TRAILER)
)
"""A format for `git log`: the keys of an action and of a compensation, NUL between them."""
_LOOK_BACK = 1000
_HEX = re.compile(r"[0-9a-f]{7,64}")
_KEY = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}")
_MESSAGE_CHARACTERS = 2000
_ABSENT = "000000"
_DIFF_NAMES = ("--no-ext-diff", "--no-textconv", "--no-renames", "--name-only", "-z")
_PUT_ASIDE = "Commit it or put it aside in the repository, then try again."


class GitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: the top folder of a working tree, and the branch that must be checked out there."""

    repository: str
    branch: str | None = None


class ApplyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`diff` as `git diff` writes it; `message` for the commit, the step's name where it is not given."""

    diff: str
    message: str = ""


class RevertParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`commit` is the hexadecimal id of a commit with one parent."""

    commit: str


@dataclass(frozen=True, slots=True)
class _Trace:
    """What history says about an action: the newest commit that bears its key, and in which role."""

    commit: str | None = None
    compensation: bool = False
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Patch:
    """A diff to be committed; `paths` is what it may touch, None for a diff that git itself made."""

    diff: bytes
    message: str
    trailer: str
    reverse: bool = False
    paths: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class _Touched:
    """The files that a patch changes, and those among them that it makes."""

    paths: list[str]
    created: list[str]


class GitPatchAdapter:
    """Operations `apply` and `revert`.

    The commit is built beside the working tree and put in force by moving the branch in one atomic step;
    its trailer holds the action's key. Only then are the touched files brought up to date. A crash in
    between is therefore seen by a probe, and finished by `execute`.
    """

    name = "git_patch"
    operations = MappingProxyType(
        {
            "apply": operation(
                "Commit a diff", ApplyParams, "write: the repository and its files", tier=Tier.SNAPSHOT
            ),
            "revert": operation(
                "Take a commit back", RevertParams, "write: the repository and its files", tier=Tier.SNAPSHOT
            ),
        }
    )

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        if operation == "revert":
            if not _HEX.fullmatch(read_params(RevertParams, params).commit):
                raise InvalidPlaybook("the commit to revert is not a hexadecimal id of 7 characters or more")
            return
        read = read_params(ApplyParams, params)
        patch_policy.check(read.diff)
        plain = all(character.isprintable() or character in "\n\t" for character in read.message)
        if len(read.message) > _MESSAGE_CHARACTERS or not plain:
            raise InvalidPlaybook(f"the message must be text of at most {_MESSAGE_CHARACTERS} characters")

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state={"head": await _head(_repository(action.target))})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - HEAD may have moved
        self.validate(action.operation, action.params)
        repository = _repository(action.target)
        await _require_branch(repository, action.target)
        head, patch = await _head(repository), await _wanted(repository, action)
        tree = await _built(repository, head, patch)  # loose objects only, which git clears away by itself
        changed = await _changed(repository, head, tree, patch.paths)
        await _require_untouched(repository, head, changed)
        diff = await repository.run("diff", "--no-ext-diff", "--no-textconv", "--no-renames", head, tree)
        return Preview(
            summary=f"{len(changed.paths)} files would be changed by a commit on {head[:12]}",
            diff=diff.decode(errors="replace"),
        )

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        repository = _repository(action.target)
        trace = await _trace(repository, action, snapshot)
        if trace.commit is None:
            return Progress.NOT_APPLIED if trace.complete else Progress.UNKNOWN
        if trace.compensation:
            return Progress.NOT_APPLIED
        return Progress.PARTIAL if await _behind(repository, trace.commit) else Progress.APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.validate(action.operation, action.params)
        repository = _repository(action.target)
        await _require_branch(repository, action.target)
        trace = await _trace(repository, action, snapshot)
        commit = None if trace.compensation else trace.commit
        if commit is None:
            commit = await self._commit(repository, await _wanted(repository, action))
        await self._check_out(repository, commit)
        return Effect(summary=f"committed {commit[:12]}", details={"commit": commit})

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        repository = _repository(action.target)
        try:
            await _require_branch(repository, action.target)
            trace = await _trace(repository, action, snapshot)
            if trace.commit is None and not trace.complete:
                raise CompensationFailed("history is too long to find the commit in")
            if trace.commit is None:
                return Effect(summary="nothing was committed", repeated=True)
            commit = trace.commit
            if not trace.compensation:
                # A checkout that was never finished would look like somebody's uncommitted work.
                await self._check_out(repository, commit)
                trailer = f"{COMPENSATION_TRAILER}: {_key(action)}"
                commit = await self._commit(repository, await _reversal(repository, commit, trailer))
            await self._check_out(repository, commit)
        except (ActionFailed, OutcomeUnknown, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error
        return Effect(
            summary=f"taken back by {commit[:12]}", details={"commit": commit}, repeated=trace.compensation
        )

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """The files that the action's commit touched, in commit and working tree; what others commit meanwhile is theirs."""
        repository = _repository(action.target)
        trace = await _trace(repository, action, snapshot)
        if trace.commit is None:
            return []
        before = snapshot.state["head"]
        touched = await repository.names(
            "diff-tree", "-r", "--no-renames", "--name-only", "-z", f"{trace.commit}^", trace.commit
        )
        changed = await _edited(repository, before, touched)
        return [Difference(subject=path, before=before[:12], now="changed") for path in sorted(changed)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        repository = _repository(action.target)
        dirty = await repository.names("diff", *_DIFF_NAMES, "HEAD")
        return {
            "head": await _head(repository),
            "tree": await repository.text("rev-parse", "HEAD^{tree}"),
            "clean": not dirty,
        }

    async def _commit(self, repository: Repository, patch: _Patch) -> str:
        """Builds the commit and moves the branch to it, unless the branch has moved meanwhile."""
        head = await _head(repository)
        tree = await _built(repository, head, patch)
        changed = await _changed(repository, head, tree, patch.paths)
        await _require_untouched(repository, head, changed)
        message = f"{patch.message.strip()}\n\n{patch.trailer}\n".encode()
        commit = await repository.text("commit-tree", tree, "-p", head, "-F", "-", stdin=message)
        moved = await repository.attempt("update-ref", "-m", "penelope", "HEAD", commit, head)
        if not moved.ok:
            raise ActionFailed(f"the branch has moved, or is locked: {moved.complaint}")
        return commit

    async def _check_out(self, repository: Repository, commit: str) -> None:
        """Brings the files that a commit touched, and no others, to the state of HEAD."""
        behind = sorted(await _behind(repository, commit))
        if not behind:
            return
        since_parent = await repository.names("diff", *_DIFF_NAMES, f"{commit}^", "--", *behind)
        since_head = await repository.names("diff", *_DIFF_NAMES, "HEAD", "--", *behind)
        foreign = {*since_parent} & {*since_head}
        if foreign:
            raise OutcomeUnknown(
                f"{commit[:12]} is committed, and uncommitted work is in the way: {_listed(foreign)}",
                hint=_PUT_ASIDE,
            )
        await repository.run("restore", "--source=HEAD", "--staged", "--worktree", "--", *behind)


def _repository(target: Target) -> Repository:
    return Repository(Path(read_options(GitOptions, target).repository))


def _key(action: Action) -> str:
    if not _KEY.fullmatch(action.key):
        raise ActionFailed("the action's key cannot be written into a commit")
    return action.key


async def _head(repository: Repository) -> str:
    return await repository.text("rev-parse", "--verify", "HEAD^{commit}")


async def _require_branch(repository: Repository, target: Target) -> None:
    branch = read_options(GitOptions, target).branch
    if branch is None:
        return
    if await repository.text("rev-parse", "--abbrev-ref", "HEAD") != branch:
        raise ActionFailed(f"the repository is not on the branch {branch!r}", hint="Check that branch out.")


async def _trace(repository: Repository, action: Action, snapshot: Snapshot) -> _Trace:
    """Reads the commits since the snapshot, the newest first."""
    fields = await repository.names(
        "log",
        "-z",
        f"--max-count={_LOOK_BACK}",
        f"--format=%H%x00{OUR_TRAILERS}",
        "--end-of-options",
        f"{snapshot.state['head']}..HEAD",
    )
    commits = list(zip(fields[::3], fields[1::3], fields[2::3], strict=True))
    for commit, done, undone in commits:
        if action.key in (done, undone):
            return _Trace(commit, compensation=undone == action.key)
    return _Trace(complete=len(commits) < _LOOK_BACK)


async def _wanted(repository: Repository, action: Action) -> _Patch:
    trailer = f"{ACTION_TRAILER}: {_key(action)}"
    if action.operation == "revert":
        return await _reversal(repository, read_params(RevertParams, action.params).commit, trailer)
    params = read_params(ApplyParams, action.params)
    paths = patch_policy.check(params.diff)
    await asyncio.to_thread(patch_policy.refuse_symlinks, repository.path, paths)
    message = params.message.strip() or action.name
    return _Patch(params.diff.encode(), message, trailer, paths=frozenset(paths))


async def _reversal(repository: Repository, commit: str, trailer: str) -> _Patch:
    found = await repository.attempt("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    full = found.out.decode().strip()
    if not found.ok or not full.startswith(commit):
        raise ActionFailed(f"there is no commit {commit}")
    parents = (await repository.text("rev-list", "--parents", "--max-count=1", full)).split()[1:]
    if len(parents) != 1:
        raise ActionFailed(
            f"commit {full[:12]} has {len(parents)} parents: only one with one can be reverted"
        )
    diff = await repository.run(
        "diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--binary", "--full-index", parents[0], full
    )
    subject = await repository.text("log", "--max-count=1", "--format=%s", full)
    message = f'Revert "{subject}"\n\nThis takes back commit {full}.'
    return _Patch(diff, message, trailer, reverse=True)


async def _built(repository: Repository, head: str, patch: _Patch) -> str:
    """The tree that a patch makes of HEAD's; the working tree is not looked at."""
    direction = ("--reverse",) if patch.reverse else ()
    async with scratch_index() as index:
        await repository.run("read-tree", head, index=index)
        applied = await repository.attempt(
            "apply", "--cached", "-p1", "--whitespace=nowarn", *direction, "-", stdin=patch.diff, index=index
        )
        if not applied.ok:
            raise ActionFailed(
                f"the diff does not apply: {applied.complaint}", hint="Make it against the repository's HEAD."
            )
        return await repository.text("write-tree", index=index)


async def _changed(repository: Repository, head: str, tree: str, allowed: frozenset[str] | None) -> _Touched:
    """What git makes of the patch, held against what the policy read in it: two readers must agree."""
    fields = await repository.names("diff-tree", "-r", "--raw", "-z", "--no-renames", head, tree)
    touched = _Touched([], [])
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


async def _require_untouched(repository: Repository, head: str, touched: _Touched) -> None:
    """Raises ActionFailed when a file that would be overwritten holds uncommitted work."""
    await asyncio.to_thread(patch_policy.refuse_symlinks, repository.path, touched.paths)
    dirty = await _edited(repository, head, touched.paths)
    dirty |= await asyncio.to_thread(_in_the_way, repository.path, touched.created)
    if dirty:
        raise ActionFailed(f"uncommitted work is in the way: {_listed(dirty)}", hint=_PUT_ASIDE)


def _in_the_way(root: Path, created: list[str]) -> set[str]:
    """Of the files to be made, those in whose place there is something, or that need a file as a folder."""
    found = set()
    for path in created:
        place = root / path
        folders = [folder for folder in place.parents if folder.is_relative_to(root)]
        if os.path.lexists(place) or any(folder.is_file() for folder in folders):
            found.add(path)
    return found


async def _behind(repository: Repository, commit: str) -> set[str]:
    """The files that a commit touched and whose checkout, or entry in the index, is not at HEAD."""
    touched = await repository.names(
        "diff-tree", "-r", "--no-renames", "--name-only", "-z", f"{commit}^", commit
    )
    return await _edited(repository, "HEAD", touched)


async def _edited(repository: Repository, commit: str, paths: list[str]) -> set[str]:
    """Those of the paths that differ from a commit, in the index or in the working tree."""
    staged = await repository.names("diff", "--cached", *_DIFF_NAMES, commit, "--", *paths)
    return {*staged, *await repository.names("diff", *_DIFF_NAMES, commit, "--", *paths)}


def _listed(paths: set[str]) -> str:
    return ascii(sorted(paths))[:200]
