"""Whatever the names in a diff: if the policy lets it pass, applying it writes only inside the repository."""

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.patch_policy import check
from penelope.domain.action import Action, Tier
from penelope.domain.service import Target
from penelope.errors import ActionFailed, InvalidPatch

EVIL = ["..", ".", "", ".git", ".GIT", ".git ", "git~1", "link", "hooks", "C:", "\\", "\u200c"]
PARTS = st.one_of(
    st.sampled_from(["a", "b", "config.ini", "new folder", "é", "x"]),
    st.sampled_from(EVIL),
    st.text(st.characters(exclude_characters="\n\0/", codec="utf-8"), min_size=1, max_size=6),
)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@st.composite
def diffs(draw: st.DrawFn) -> str:
    name = draw(NAMES)
    other = draw(st.one_of(st.just(name), st.just(name), NAMES))
    mode = draw(st.sampled_from(["100644", "100644", "100755", "120000", "160000"]))
    prefix = draw(st.sampled_from(["b/", "b/", "b/", "", "/", '"b/']))
    body = f"--- /dev/null\n+++ {prefix}{name}\n@@ -0,0 +1 @@\n+/etc/passwd\n"
    header = f"diff --git a/{other} b/{name}\nnew file mode {mode}\n"
    return draw(st.sampled_from([body, header + body, header, body + header + body]))


def _repository(root: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=dev", "-c", "user.email=dev@example.org"]
    for argv in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "--message", "Start"]):
        subprocess.run(["git", "-C", str(root), *argv], env=environment, check=True)
    (root / "link").symlink_to(root.parent / "outside")


def _files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


@settings(max_examples=120, deadline=None)
@given(diff=diffs())
@example(diff="--- /dev/null\n+++ b/plain/file.txt\n@@ -0,0 +1 @@\n+x\n")
@example(diff="--- /dev/null\n+++ b/link/file.txt\n@@ -0,0 +1 @@\n+x\n")
@example(diff="--- /dev/null\n+++ b/.git/hooks/post-commit\n@@ -0,0 +1 @@\n+x\n")
def test_an_accepted_diff_writes_only_inside(diff: str) -> None:
    try:
        paths = check(diff)
    except InvalidPatch:
        return
    with tempfile.TemporaryDirectory() as folder:
        world, repository = Path(folder), Path(folder) / "repository"
        (world / "outside").mkdir()
        repository.mkdir()
        _repository(repository)
        git_before = {path for path in _files(repository / ".git") if "objects" not in path.parts}
        _apply(repository, diff)
        written = set(_files(world)) - set(_files(repository / ".git"))
        assert written <= {repository / path for path in paths}
        assert not any(path.is_symlink() for path in repository.rglob("*") if path != repository / "link")
        new = {path for path in _files(repository / ".git") if "objects" not in path.parts} - git_before
        assert {path.name for path in new} <= {"index", "HEAD", "ORIG_HEAD", "master", "main"}


def _apply(repository: Path, diff: str) -> None:
    adapter = GitPatchAdapter()
    action = Action(
        key="inc/plan/0",
        name="apply",
        adapter="git_patch",
        operation="apply",
        target=Target(
            name="config", service="shop", adapter="git_patch", options={"repository": str(repository)}
        ),
        params={"diff": diff},
        tier=Tier.SNAPSHOT,
        timeout_seconds=20.0,
    )

    async def steps() -> None:
        await adapter.execute(action, await adapter.snapshot(action))

    try:
        asyncio.run(steps())
    except (ActionFailed, InvalidPatch):
        return


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=400)
    | diffs().flatmap(lambda diff: st.text(max_size=20).map(lambda tail: diff + tail))
)
def test_any_text_is_either_named_or_refused(text: str) -> None:
    try:
        paths = check(text)
    except InvalidPatch:
        return
    assert paths
    assert all(not path.startswith("/") and ".." not in path.split("/") for path in paths)
