"""Patches with provenance: who and why, merged where the files have moved, without secrets, and their history."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from benching import an_action

from penelope.adapters.actions.git_history import history
from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.changes.git import GitChanges
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import ActionFailed, CompensationFailed, InvalidPatch, InvalidPlaybook
from penelope.rooms.act.run import undo

ADAPTER = GitPatchAdapter()
LINES = [f"line {number}\n" for number in range(12)]
AWS = "AKIA" + "QWERTYUIOPASDFGH"


def act(repo: Any, operation: str, key: str = "inc/plan/0", **params: Any) -> Action:
    action = an_action("git_patch", operation, {"repository": str(repo.path), "branch": "main"}, params)
    return Action(**{**{name: getattr(action, name) for name in action.__slots__}, "key": key})


def execute(action: Action) -> Snapshot:
    async def steps() -> Snapshot:
        snapshot = await ADAPTER.snapshot(action)
        await ADAPTER.execute(action, snapshot)
        return snapshot

    return asyncio.run(steps())


def lines(root: Path, **changed: str) -> None:
    (root / "long.txt").write_text(
        "".join(changed.get(line.strip().replace(" ", "_"), line) for line in LINES)
    )


@pytest.fixture
def moved(repo: Any) -> tuple[Any, str]:
    """A repository, and a diff that was made before the line beside it was changed by somebody else."""
    lines(repo.path)
    repo.commit("A longer file")
    diff = repo.diff_after(lambda root: lines(root, line_3="mended\n"))
    lines(repo.path, line_5="somebody else's\n")
    repo.commit("Somebody else's")
    return repo, diff


def test_a_diff_is_merged_with_what_was_done_beside_it_meanwhile(moved: tuple[Any, str]) -> None:
    repo, diff = moved
    action = act(repo, "apply", diff=diff)
    snapshot = execute(action)
    assert (repo.path / "long.txt").read_text().splitlines()[3:6] == ["mended", "line 4", "somebody else's"]
    assert asyncio.run(ADAPTER.probe(action, snapshot)) is Progress.APPLIED
    assert repo.git("status", "--porcelain") == ""


def test_what_others_commit_into_the_same_file_stays_and_is_no_difference(moved: tuple[Any, str]) -> None:
    repo, diff = moved
    action = act(repo, "apply", diff=diff)
    snapshot = execute(action)
    lines(repo.path, line_3="mended\n", line_5="somebody else's\n", line_1="later\n")
    repo.commit("Later")
    assert asyncio.run(ADAPTER.differences(action, snapshot))
    asyncio.run(undo(ADAPTER, action, snapshot))
    shown = (repo.path / "long.txt").read_text().splitlines()
    assert [shown[1], shown[3], shown[5]] == ["later", "line 3", "somebody else's"]
    assert asyncio.run(ADAPTER.differences(action, snapshot)) == []
    (repo.path / "long.txt").write_text("edited\n")
    assert asyncio.run(ADAPTER.differences(action, snapshot))


def test_conflicts_are_named_and_nothing_changes(repo: Any) -> None:
    lines(repo.path)
    repo.commit("A longer file")
    diff = repo.diff_after(lambda root: lines(root, line_3="mended\n"))
    lines(repo.path, line_3="somebody else's\n")
    head = repo.commit("Somebody else's")
    with pytest.raises(ActionFailed, match=r"does not apply: conflicts in \['long\.txt'\]"):
        execute(act(repo, "apply", diff=diff))
    assert repo.git("rev-parse", "HEAD") == head
    assert repo.git("status", "--porcelain") == ""


def test_a_patch_whose_lines_others_changed_since_cannot_be_taken_back(repo: Any) -> None:
    lines(repo.path)
    repo.commit("A longer file")
    action = act(repo, "apply", diff=repo.diff_after(lambda root: lines(root, line_3="mended\n")))
    snapshot = execute(action)
    lines(repo.path, line_3="somebody else's\n")
    head = repo.commit("Somebody else's")
    with pytest.raises(CompensationFailed, match="conflicts in"):
        asyncio.run(undo(ADAPTER, action, snapshot))
    assert repo.git("rev-parse", "HEAD") == head


def test_a_commit_says_who_and_why_and_history_tells_it(repo: Any) -> None:
    diff = repo.diff_after(lambda root: (root / "notes.txt").write_text("x\n"))
    said = {
        "who": "anna@example.org",
        "why": "too many errors",
        "incident": "inc_7",
        "playbook": "mend",
        "parent": "k0",
    }
    execute(act(repo, "apply", key="k1", diff=diff, message="Mend it", **said))
    (patch,) = asyncio.run(history(repo.path, 100))
    assert {name: getattr(patch, name) for name in said} == said
    assert (patch.action, patch.subject, patch.compensated_by) == ("k1", "Mend it", None)
    assert patch.commit == repo.git("rev-parse", "HEAD")
    assert patch.at.utcoffset() is not None


def test_history_says_which_patches_are_in_force(repo: Any) -> None:
    def change(text: str) -> str:
        return str(repo.diff_after(lambda root: (root / "notes.txt").write_text(text)))

    first = act(repo, "apply", key="k1", diff=change("one\n"))
    snapshot = execute(first)
    asyncio.run(undo(ADAPTER, first, snapshot))
    execute(act(repo, "apply", key="k2", diff=change("two\n")))
    reverse = act(repo, "reverse", key="k3", patch="k2", why="it made things worse")
    before = execute(reverse)
    found = {patch.action: patch.compensated_by for patch in asyncio.run(history(repo.path, 100))}
    assert list(found) == ["k3", "k2", "k1"]
    assert found["k2"] == repo.git("rev-parse", "HEAD")
    assert found["k1"] is not None
    assert found["k3"] is None
    with pytest.raises(ActionFailed, match="was taken back before"):
        execute(act(repo, "reverse", key="k4", patch="k2"))
    with pytest.raises(ActionFailed, match="no commit of the repository bears the key"):
        execute(act(repo, "reverse", key="k4", patch="unknown"))
    asyncio.run(undo(ADAPTER, reverse, before))
    found = {patch.action: patch.compensated_by for patch in asyncio.run(history(repo.path, 100))}
    assert found["k2"] is None
    assert found["k3"] == repo.git("rev-parse", "HEAD")


@pytest.mark.parametrize("what", ["diff", "message", "why"])
def test_a_secret_never_gets_into_history(repo: Any, what: str) -> None:
    diff = repo.diff_after(lambda root: (root / "notes.txt").write_text("plain\n"))
    params = {"diff": diff, "message": "Mend", "why": "because", what: diff.replace("plain", AWS)}
    if what != "diff":
        params[what] = f"with {AWS}"
    with pytest.raises(
        InvalidPatch, match=rf"the {what} holds a secret \(AWS Access Key\) in line"
    ) as caught:
        ADAPTER.validate("apply", params)
    assert AWS not in str(caught.value)
    with pytest.raises(InvalidPatch):
        execute(act(repo, "apply", **params))


def test_a_trailer_cannot_be_forged_by_a_reason(repo: Any) -> None:
    diff = repo.diff_after(lambda root: (root / "notes.txt").write_text("plain\n"))
    with pytest.raises(InvalidPlaybook, match="why must be a line"):
        ADAPTER.validate("apply", {"diff": diff, "why": "x\nPenelope-Compensation: k1"})
    execute(act(repo, "apply", key="k1", diff=diff, why="Penelope-Compensation: k1"))
    (patch,) = asyncio.run(history(repo.path, 100))
    assert patch.compensated_by is None


def test_a_commit_from_beyond_the_calendar_hides_nothing(repo: Any) -> None:
    execute(act(repo, "apply", diff=repo.diff_after(lambda root: (root / "notes.txt").write_text("x\n"))))
    said = repo.git("cat-file", "commit", "HEAD")
    dated = re.sub(r"(?m)^(committer .*>) \d+ \S+$", r"\1 300000000000 +0000", said)
    commit = repo.git_with_input(dated + "\n", "hash-object", "-t", "commit", "-w", "--stdin")
    repo.git("update-ref", "refs/heads/main", commit)
    (patch,) = asyncio.run(history(repo.path, 100))
    assert (patch.commit, patch.at) == (commit, datetime.max.replace(tzinfo=UTC))
    target = act(repo, "apply", diff="").target
    last: Any = asyncio.run(GitChanges().changes(target))["last_change"]
    assert last["at"].startswith("9999-12-31")
