"""What is particular to a git repository."""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.git import Repository
from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.domain.action import Action, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidPatch,
    OutcomeUnknown,
    Timeout,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo

ADAPTER = GitPatchAdapter()


def act(
    repo: Any, operation: str, branch: str | None = None, key: str = "inc/plan/0", **params: Any
) -> Action:
    options = {"repository": str(repo.path)} | ({} if branch is None else {"branch": branch})
    return Action(
        key=key,
        name="mend the shop",
        adapter="git_patch",
        operation=operation,
        target=Target(name="config", service="shop", adapter="git_patch", options=options),
        params=params,
        tier=Tier.SNAPSHOT,
        timeout_seconds=20.0,
    )


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(steps)


def mend(root: Path) -> None:
    (root / "config.ini").write_text("[shop]\nworkers = 4\ntimeout = 30\n")


def execute(action: Action) -> Snapshot:
    snapshot: Snapshot = run(ADAPTER.snapshot(action))
    run(ADAPTER.execute(action, snapshot))
    return snapshot


def test_a_commit_says_who_made_it_and_for_which_action(repo: Any) -> None:
    message = "Mend\n\nPenelope-Action: forged"
    action = act(repo, "apply", diff=repo.diff_after(mend), message=message)
    snapshot = execute(action)
    shown = repo.git("log", "-1", "--format=%an <%ae>|%cn|%s|%(trailers:key=Penelope-Action,valueonly)")
    assert shown == "Penelope <penelope@localhost>|Penelope|Mend|inc/plan/0"
    assert (repo.path / "config.ini").read_text() == "[shop]\nworkers = 4\ntimeout = 30\n"
    assert repo.git("status", "--porcelain") == ""
    forged = act(repo, "apply", key="forged", diff=action.params["diff"])
    assert run(ADAPTER.probe(forged, snapshot)) is Progress.NOT_APPLIED


def test_a_message_is_the_steps_name_where_none_is_given(repo: Any) -> None:
    execute(act(repo, "apply", diff=repo.diff_after(mend)))
    assert repo.git("log", "-1", "--format=%s") == "mend the shop"


def test_other_uncommitted_work_is_left_alone(repo: Any) -> None:
    diff = repo.diff_after(mend)
    (repo.path / "notes.txt").write_text("mine\n")
    (repo.path / "untracked").write_text("mine too\n")
    action = act(repo, "apply", diff=diff)
    snapshot = execute(action)
    assert run(ADAPTER.probe(action, snapshot)) is Progress.APPLIED
    run(undo(ADAPTER, action, snapshot))
    assert (repo.path / "notes.txt").read_text() == "mine\n"
    assert repo.git("status", "--porcelain") == "M notes.txt\n?? untracked"


@pytest.mark.parametrize("name", ["config.ini", "new.txt", "folder"])
def test_uncommitted_work_in_the_way_stops_it_before_anything_changes(repo: Any, name: str) -> None:
    def change(root: Path) -> None:
        mend(root)
        (root / "new.txt").write_text("new\n")
        (root / "folder").mkdir()
        (root / "folder" / "inside").write_text("new\n")

    action = act(repo, "apply", diff=repo.diff_after(change))
    (repo.path / name).write_text("mine\n")
    head = repo.git("rev-parse", "HEAD")
    with pytest.raises(ActionFailed, match="in the way") as caught:
        execute(action)
    assert name in str(caught.value)
    assert repo.git("rev-parse", "HEAD") == head
    assert (repo.path / name).read_text() == "mine\n"


def test_an_edit_made_since_is_not_overwritten_by_an_undo(repo: Any) -> None:
    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = execute(action)
    (repo.path / "config.ini").write_text("mine\n")
    assert run(ADAPTER.probe(action, snapshot)) is Progress.PARTIAL
    with pytest.raises(OutcomeUnknown, match="uncommitted work"):
        run(ADAPTER.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match="uncommitted work"):
        run(undo(ADAPTER, action, snapshot))
    assert (repo.path / "config.ini").read_text() == "mine\n"


def test_commits_made_since_stay(repo: Any) -> None:
    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = execute(action)
    (repo.path / "notes.txt").write_text("more notes\n")
    repo.commit("More notes")
    assert run(ADAPTER.probe(action, snapshot)) is Progress.APPLIED
    run(undo(ADAPTER, action, snapshot))
    assert "workers = 0" in (repo.path / "config.ini").read_text()
    assert (repo.path / "notes.txt").read_text() == "more notes\n"


def test_a_way_back_that_is_blocked_is_loud(repo: Any) -> None:
    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = execute(action)
    (repo.path / "config.ini").write_text("quite different\n")
    repo.commit("Rewrite")
    with pytest.raises(CompensationFailed, match="does not apply"):
        run(undo(ADAPTER, action, snapshot))


def test_an_unfinished_compensation_is_finished(repo: Any) -> None:
    class Crash(Exception):
        pass

    class Crashing(GitPatchAdapter):
        calls = 0

        async def _check_out(self, repository: Repository, commit: str) -> None:
            self.calls += 1
            if self.calls == 2:
                raise Crash
            await super()._check_out(repository, commit)

    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = execute(action)
    with pytest.raises(Crash):
        run(Crashing().compensate(action, snapshot))
    assert "workers = 4" in (repo.path / "config.ini").read_text()
    assert run(ADAPTER.compensate(action, snapshot)).repeated is True
    assert "workers = 0" in (repo.path / "config.ini").read_text()
    assert repo.git("log", "-1", "--format=%(trailers:key=Penelope-Compensation,valueonly)") == action.key
    assert repo.git("status", "--porcelain") == ""


def test_a_revert_takes_one_commit_back(repo: Any) -> None:
    bad = repo.git("rev-parse", "HEAD")
    execute(act(repo, "revert", commit=bad[:12]))
    assert "workers = 4" in (repo.path / "config.ini").read_text()
    assert repo.git("log", "-1", "--format=%s") == 'Revert "Break the shop"'


def test_a_revert_of_a_binary_change_works(repo: Any) -> None:
    (repo.path / "logo.png").write_bytes(bytes(range(256)))
    added = repo.commit("Add a logo")
    execute(act(repo, "revert", commit=added))
    assert not (repo.path / "logo.png").exists()


def test_only_a_commit_with_one_parent_can_be_reverted(repo: Any) -> None:
    root = repo.git("rev-list", "--max-parents=0", "HEAD")
    with pytest.raises(ActionFailed, match="0 parents"):
        execute(act(repo, "revert", commit=root))


def test_a_name_that_looks_like_an_id_is_not_one(repo: Any) -> None:
    repo.git("branch", "deadbeef")
    for commit in ("deadbeef", "0" * 40):
        with pytest.raises(ActionFailed, match="no commit"):
            execute(act(repo, "revert", commit=commit))


def test_a_revert_of_a_link_is_refused(repo: Any) -> None:
    (repo.path / "link").symlink_to("/etc/passwd")
    linked = repo.commit("Link")
    with pytest.raises(InvalidPatch, match="link"):
        execute(act(repo, "revert", commit=linked))


def test_a_commit_of_very_many_files_is_not_reverted(repo: Any) -> None:
    for number in range(201):
        (repo.path / f"{number}.txt").write_text("x\n")
    many = repo.commit("Many")
    with pytest.raises(ActionFailed, match="201 files"):
        execute(act(repo, "revert", commit=many))


def test_a_revert_without_effect_has_failed(repo: Any) -> None:
    repo.git("commit", "--quiet", "--allow-empty", "--message", "Nothing")
    with pytest.raises(ActionFailed):
        execute(act(repo, "revert", commit=repo.git("rev-parse", "HEAD")))


def test_a_path_through_a_link_is_refused(repo: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def change(root: Path) -> None:
        (root / "sub").mkdir()
        (root / "sub" / "new.txt").write_text("new\n")

    action = act(repo, "apply", diff=repo.diff_after(change))
    (repo.path / "sub").symlink_to(outside)
    with pytest.raises(InvalidPatch, match="symbolic link"):
        execute(action)
    assert list(outside.iterdir()) == []


def test_a_diff_against_another_state_does_not_apply(repo: Any) -> None:
    diff = repo.diff_after(mend).replace("workers = 0", "workers = 9")
    with pytest.raises(ActionFailed, match=r"does not apply: .*config\.ini"):
        execute(act(repo, "apply", diff=diff))


def test_a_branch_that_moves_meanwhile_stops_it(repo: Any) -> None:
    class Racing(GitPatchAdapter):
        raced = False

        async def _commit(self, repository: Repository, patch: Any) -> str:
            run_before = repository.attempt

            async def attempt(*argv: str, **options: Any) -> Any:
                if argv[0] == "update-ref" and not self.raced:
                    self.raced = True
                    repo.git("commit", "--quiet", "--allow-empty", "--message", "Race")
                return await run_before(*argv, **options)

            repository.attempt = attempt
            return await super()._commit(repository, patch)

    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = run(ADAPTER.snapshot(action))
    with pytest.raises(ActionFailed, match="branch has moved"):
        run(Racing().execute(action, snapshot))
    assert repo.git("log", "-1", "--format=%s") == "Race"
    assert repo.git("status", "--porcelain") == ""


def test_a_path_that_git_reads_and_the_policy_did_not_is_refused(repo: Any) -> None:
    class Blind(GitPatchAdapter):
        async def _commit(self, repository: Repository, patch: Any) -> str:
            return await super()._commit(repository, replace(patch, paths=frozenset({"notes.txt"})))

    action = act(repo, "apply", diff=repo.diff_after(mend))
    head = repo.git("rev-parse", "HEAD")
    with pytest.raises(InvalidPatch, match="no header names"):
        run(Blind().execute(action, run(ADAPTER.snapshot(action))))
    assert repo.git("rev-parse", "HEAD") == head


def test_a_diff_without_effect_has_failed(repo: Any) -> None:
    diff = "--- a/notes.txt\n+++ b/notes.txt\n@@ -1 +1 @@\n-notes\n+notes\n"
    with pytest.raises(ActionFailed, match="changes nothing"):
        execute(act(repo, "apply", diff=diff))


def test_another_branch_is_not_touched(repo: Any) -> None:
    action = act(repo, "apply", branch="production", diff=repo.diff_after(mend))
    with pytest.raises(ActionFailed, match="not on the branch 'production'"):
        execute(action)
    snapshot = run(ADAPTER.snapshot(action))
    with pytest.raises(CompensationFailed, match="not on the branch"):
        run(ADAPTER.compensate(action, snapshot))


def test_hooks_and_surroundings_are_not_heard(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    action = act(repo, "apply", diff=repo.diff_after(mend))
    proof = repo.path.parent / "proof"
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "post-commit"):
        script = repo.path / ".git" / "hooks" / hook
        script.write_text(f"#!/bin/sh\ntouch {proof}\n")
        script.chmod(0o755)
    repo.git("config", "core.fsmonitor", f"touch {proof}")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {proof}")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    execute(action)
    assert not proof.exists()


def test_a_key_that_is_no_trailer_is_refused(repo: Any) -> None:
    with pytest.raises(ActionFailed, match="key"):
        execute(act(repo, "apply", key="a\nPenelope-Action: b", diff=repo.diff_after(mend)))


def test_history_too_long_to_read_is_unknown(repo: Any) -> None:
    action = act(repo, "apply", diff=repo.diff_after(mend))
    snapshot = run(ADAPTER.snapshot(action))
    tree, head = repo.git("rev-parse", "HEAD^{tree}"), repo.git("rev-parse", "HEAD")
    lines = [
        f"commit refs/heads/main\ncommitter D <d@e.org> {1_700_000_000 + n} +0000\ndata 1\nx\n"
        for n in range(1000)
    ]
    lines[0] += f"from {head}\n"
    repo.git_with_input("\n".join(lines), "fast-import", "--quiet")
    assert repo.git("rev-parse", "HEAD^{tree}") == tree
    assert run(ADAPTER.probe(action, snapshot)) is Progress.UNKNOWN
    with pytest.raises(OutcomeUnknown):
        run(perform(ADAPTER, action, snapshot, first_attempt=False))
    with pytest.raises(CompensationFailed, match="too long"):
        run(undo(ADAPTER, action, snapshot))


def test_observation_sees_uncommitted_work(repo: Any) -> None:
    action = act(repo, "revert", commit="0" * 40)
    assert run(ADAPTER.observe(action)) == {
        "head": repo.git("rev-parse", "HEAD"),
        "tree": repo.git("rev-parse", "HEAD^{tree}"),
        "clean": True,
    }
    (repo.path / "config.ini").write_text("mine\n")
    assert run(ADAPTER.observe(action))["clean"] is False


def test_git_that_is_missing_or_stuck_says_so(
    repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "bin"
    stuck.mkdir()
    (stuck / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (stuck / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{stuck}{os.pathsep}{os.environ['PATH']}")
    repository = Repository(repo.path, timeout_seconds=0.2)
    with pytest.raises(Timeout, match="git log"):
        run(repository.run("log"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="cannot be run"):
        run(repository.run("log"))


def test_a_folder_inside_a_repository_is_no_repository(repo: Any) -> None:
    (repo.path / "sub").mkdir()
    with pytest.raises(Unavailable, match="not a git repository"):
        run(Repository(repo.path / "sub").run("log"))
