"""Applies or reverts a diff as a commit in a git repository."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions import patch_policy
from penelope.adapters.actions.git import Repository
from penelope.adapters.actions.git_history import history
from penelope.adapters.actions.git_provenance import (
    ACTION_TRAILER,
    COMPENSATION_TRAILER,
    OUR_TRAILERS,
    REVERSES_TRAILER,
    Provenance,
    check_provenance,
    refuse_secrets,
    trailers,
)
from penelope.adapters.actions.git_tree import (
    PUT_ASIDE,
    Patch,
    behind,
    built,
    changed,
    edited,
    listed,
    require_untouched,
)
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    InvalidPlaybook,
    OutcomeUnknown,
)
from penelope.kit.canonical import Json

_LOOK_BACK = 1000
_HEX = re.compile(r"[0-9a-f]{7,64}")
_KEY = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}")
_MESSAGE_CHARACTERS = 2000
_WRITES, _KEPT = "write: the repository and its files", ("the commit that HEAD is at",)
_DIFF_NAMES = ("--no-ext-diff", "--no-textconv", "--no-renames", "--name-only", "-z")


class GitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: the top folder of a working tree, and the branch that must be checked out there."""

    repository: str
    branch: str | None = None


class ApplyParams(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`diff` as `git diff` writes it; `message` for the commit, the step's name where it is not given."""

    diff: str
    message: str = ""


class RevertParams(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`commit` is the hexadecimal id of a commit with one parent."""

    commit: str


class ReverseParams(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`patch` is the key of the action that applied it, as `penelope patches` shows it."""

    patch: str


@dataclass(frozen=True, slots=True)
class _Trace:
    """What history says about an action: the newest commit that bears its key, and in which role."""

    commit: str | None = None
    compensation: bool = False
    complete: bool = True


class GitPatchAdapter:
    """Operations `apply` and `revert`.

    The commit is built beside the working tree and put in force by moving the branch in one atomic step;
    its trailer holds the action's key. Only then are the touched files brought up to date. A crash in
    between is therefore seen by a probe, and finished by `execute`.
    """

    name = "git_patch"
    operations = MappingProxyType(
        {
            "apply": operation("Commit a diff", ApplyParams, _WRITES, tier=Tier.SNAPSHOT, snapshots=_KEPT),
            "revert": operation(
                "Take a commit back", RevertParams, _WRITES, tier=Tier.SNAPSHOT, snapshots=_KEPT
            ),
            "reverse": operation(
                "Take an earlier patch of ours back",
                ReverseParams,
                _WRITES,
                tier=Tier.SNAPSHOT,
                snapshots=_KEPT,
            ),
        }
    )

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        match operation:
            case "apply":
                _check_apply(read_params(ApplyParams, params))
            case "revert":
                revert = read_params(RevertParams, params)
                check_provenance(revert)
                if not _HEX.fullmatch(revert.commit):
                    raise InvalidPlaybook(
                        "the commit to revert is not a hexadecimal id of 7 characters or more"
                    )
            case _:
                reverse = read_params(ReverseParams, params)
                check_provenance(reverse)
                if not _KEY.fullmatch(reverse.patch):
                    raise InvalidPlaybook("the patch to reverse is not the key of an action")

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state={"head": await _head(_repository(action.target))})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - HEAD may have moved
        self.validate(action.operation, action.params)
        repository = _repository(action.target)
        await _require_branch(repository, action.target)
        head, patch = await _head(repository), await _wanted(repository, action)
        tree = await built(repository, head, patch)  # loose objects only, which git clears away by itself
        touched = await changed(repository, head, tree, patch.paths)
        await require_untouched(repository, head, touched)
        diff = await repository.run("diff", "--no-ext-diff", "--no-textconv", "--no-renames", head, tree)
        return Preview(
            summary=f"{len(touched.paths)} files would be changed by a commit on {head[:12]}",
            diff=diff.decode(errors="replace"),
        )

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        repository = _repository(action.target)
        trace = await _trace(repository, action, snapshot)
        if trace.commit is None:
            return Progress.NOT_APPLIED if trace.complete else Progress.UNKNOWN
        if trace.compensation:
            return Progress.NOT_APPLIED
        return Progress.PARTIAL if await behind(repository, trace.commit) else Progress.APPLIED

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
        touched = await _names(repository, trace.commit)
        differing = await edited(repository, before, touched)
        if differing and trace.compensation:
            # What others committed to the same files stays in them: there, being at HEAD is all that can be asked.
            foreign = await _foreign(repository, action.key, before, sorted(differing))
            differing = (differing - foreign) | await edited(repository, "HEAD", sorted(foreign))
        return [Difference(subject=path, before=before[:12], now="changed") for path in sorted(differing)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        repository = _repository(action.target)
        dirty = await repository.names("diff", *_DIFF_NAMES, "HEAD")
        return {
            "head": await _head(repository),
            "tree": await repository.text("rev-parse", "HEAD^{tree}"),
            "clean": not dirty,
        }

    async def _commit(self, repository: Repository, patch: Patch) -> str:
        """Builds the commit and moves the branch to it, unless the branch has moved meanwhile."""
        head = await _head(repository)
        tree = await built(repository, head, patch)
        touched = await changed(repository, head, tree, patch.paths)
        await require_untouched(repository, head, touched)
        message = f"{patch.message.strip()}\n\n{patch.trailer}\n".encode()
        commit = await repository.text("commit-tree", tree, "-p", head, "-F", "-", stdin=message)
        moved = await repository.attempt("update-ref", "-m", "penelope", "HEAD", commit, head)
        if not moved.ok:
            raise ActionFailed(f"the branch has moved, or is locked: {moved.complaint}")
        return commit

    async def _check_out(self, repository: Repository, commit: str) -> None:
        """Brings the files that a commit touched, and no others, to the state of HEAD."""
        late = sorted(await behind(repository, commit))
        if not late:
            return
        since_parent = await repository.names("diff", *_DIFF_NAMES, f"{commit}^", "--", *late)
        since_head = await repository.names("diff", *_DIFF_NAMES, "HEAD", "--", *late)
        foreign = {*since_parent} & {*since_head}
        if foreign:
            raise OutcomeUnknown(
                f"{commit[:12]} is committed, and uncommitted work is in the way: {listed(foreign)}",
                hint=PUT_ASIDE,
            )
        await repository.run("restore", "--source=HEAD", "--staged", "--worktree", "--", *late)


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


def _check_apply(params: ApplyParams) -> None:
    patch_policy.check(params.diff)
    refuse_secrets("diff", params.diff)
    plain = all(character.isprintable() or character in "\n\t" for character in params.message)
    if len(params.message) > _MESSAGE_CHARACTERS or not plain:
        raise InvalidPlaybook(f"the message must be text of at most {_MESSAGE_CHARACTERS} characters")
    refuse_secrets("message", params.message)
    check_provenance(params)


async def _names(repository: Repository, commit: str) -> list[str]:
    """The files that a commit touched."""
    return await repository.names(
        "diff-tree", "-r", "--no-renames", "--name-only", "-z", f"{commit}^", commit
    )


async def _foreign(repository: Repository, key: str, before: str, paths: list[str]) -> set[str]:
    """Those of the paths that commits of others touched since."""
    fields = await repository.names(
        "log", "-z", f"--format=%H%x00{OUR_TRAILERS}", "--end-of-options", f"{before}..HEAD", "--", *paths
    )
    found: set[str] = set()
    for commit, *ours in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if key not in ours:
            found.update(await _names(repository, commit))
    return found & set(paths)


async def _wanted(repository: Repository, action: Action) -> Patch:
    own = f"{ACTION_TRAILER}: {_key(action)}"
    if action.operation == "revert":
        revert = read_params(RevertParams, action.params)
        return await _reversal(repository, revert.commit, "\n".join([own, *trailers(revert)]))
    if action.operation == "reverse":
        reverse = read_params(ReverseParams, action.params)
        commit = await _patch_commit(repository, reverse.patch)
        lines = [own, f"{REVERSES_TRAILER}: {reverse.patch}", *trailers(reverse)]
        return await _reversal(repository, commit, "\n".join(lines))
    params = read_params(ApplyParams, action.params)
    paths = patch_policy.check(params.diff)
    await asyncio.to_thread(patch_policy.refuse_symlinks, repository.path, paths)
    message = params.message.strip() or action.name
    trailer = "\n".join([own, *trailers(params)])
    return Patch(params.diff.encode(), message, trailer, paths=frozenset(paths))


async def _patch_commit(repository: Repository, key: str) -> str:
    """The commit that an action made. Raises ActionFailed where there is none, or it was taken back."""
    for patch in await history(repository.path, _LOOK_BACK):
        if patch.action == key:
            if patch.compensated_by is not None:
                raise ActionFailed(f"the patch was taken back before, by {patch.compensated_by[:12]}")
            return patch.commit
    raise ActionFailed("no commit of the repository bears the key of that patch")


async def _reversal(repository: Repository, commit: str, trailer: str) -> Patch:
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
    return Patch(diff, message, trailer, reverse=True)
