"""The twin on real repositories, folders and databases, with real sandboxes."""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.twin import copies
from penelope.adapters.twin.copies import Bounds, CannotCopy, copied
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.twin import Rules, SandboxTwin
from penelope.adapters.twin.workshop import sweep, workshop
from penelope.domain.action import Action, Snapshot, Tier
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, Target, TwinCheck, TwinReplay, TwinServe, TwinSpec
from penelope.kit.spawn import spawn
from penelope.testing.gate import planned

PYTHON = "python3"
BOUNDS = Bounds(size=1 << 20, files=200)
RULES = Rules(limits=Limits(seconds=20), bounds=BOUNDS, required=False, timeout_seconds=60)
SERVER = """
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"said": open("app.txt").read(), "at": time.time()}).encode()
        self.send_response(200)
        self.send_header("X-Kind", "shop")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 8123), Handler).serve_forever()
"""


def running(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        asyncio.run(test(*args, **fixtures))

    return run


def git(folder: Path, *argv: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    return subprocess.run(
        ["git", *identity, *argv], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.txt").write_text("good\n")
    (folder / "server.py").write_text(SERVER)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def diff(old: str, new: str) -> str:
    return f"--- a/app.txt\n+++ b/app.txt\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def service(repository: Path, **changes: Any) -> Service:
    target = Target(name="code", service="shop", adapter="git_patch", options={"repository": str(repository)})
    check = TwinCheck(name="smoke", argv=("/bin/sh", "-c", "! grep -q bad app.txt"), timeout_seconds=10)
    made = Service(name="shop", owner="t", tier=2, targets={"code": target}, twin=TwinSpec(checks=(check,)))
    return replace(made, **changes)


def patching(*contents: str) -> Plan:
    """A plan that changes app.txt from good to each of these in turn."""
    olds = ("good", *contents)
    return planned(
        *(
            {
                "name": f"write {new}",
                "adapter": "git_patch",
                "operation": "apply",
                "target": Target(name="code", service="shop", adapter="git_patch"),
                "params": {"diff": diff(old, new)},
                "tier": Tier.SNAPSHOT,
                "timeout_seconds": 20,
            }
            for old, new in zip(olds, contents, strict=False)
        )
    )


async def rehearsed(plan: Plan, of: Service, rules: Rules = RULES) -> Rehearsal:
    return await SandboxTwin({"git_patch": GitPatchAdapter}, rules).rehearse(plan, of)


def named(held: Rehearsal, name: str) -> Check:
    return next(check for check in held.checks if check.name == name)


pytestmark = pytest.mark.usefixtures("scratch")


@running
async def test_good_change_passes_and_touches_nothing(repository: Path, scratch: Path) -> None:
    before = git(repository, "rev-parse", "HEAD")
    held = await rehearsed(patching("better", "best"), service(repository))
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert (named(held, "smoke").before, named(held, "smoke").after) == ("passes", "passes")
    assert named(held, "take back: write best").after == "as before"
    assert git(repository, "rev-parse", "HEAD") == before
    assert git(repository, "status", "--porcelain") == ""
    assert any("no network" in line for line in held.limits)
    assert list(scratch.iterdir()) == []  # noqa: ASYNC240 - nothing else runs here


@running
async def test_change_that_breaks_a_check_fails(repository: Path) -> None:
    held = await rehearsed(patching("bad"), service(repository))
    assert held.outcome is RehearsalOutcome.FAILED
    assert held.reason == "smoke: ends with 1 (before: passes)"


@running
async def test_check_that_failed_before_does_not_speak_against_a_change(repository: Path) -> None:
    check = TwinCheck(name="never", argv=("/bin/false",), timeout_seconds=5)
    held = await rehearsed(patching("bad"), service(repository, twin=TwinSpec(checks=(check,))))
    assert held.outcome is RehearsalOutcome.PASSED
    assert named(held, "never").before == "ends with 1"


@running
async def test_action_that_cannot_be_done_fails(repository: Path) -> None:
    plan = planned({**_fields(patching("bad")), "params": {"diff": diff("other", "bad")}})
    held = await rehearsed(plan, service(repository))
    assert held.outcome is RehearsalOutcome.FAILED
    assert "does not apply" in held.reason


def _fields(plan: Plan) -> dict[str, Any]:
    action = plan.steps[0]
    return {
        name: getattr(action, name)
        for name in ("name", "adapter", "operation", "target", "params", "tier", "timeout_seconds")
    }


@running
async def test_hanging_check_is_stopped(repository: Path) -> None:
    check = TwinCheck(name="hangs", argv=("/bin/sleep", "100"), timeout_seconds=0.5)
    held = await rehearsed(patching("bad"), service(repository, twin=TwinSpec(checks=(check,))))
    assert named(held, "hangs").after == "stopped: time"


@running
async def test_check_changes_nothing_for_the_next_one(repository: Path) -> None:
    spoil = TwinCheck(name="spoil", argv=("/bin/sh", "-c", "echo bad > app.txt"), timeout_seconds=5)
    spec = replace(service(repository).twin or TwinSpec())
    held = await rehearsed(
        patching("better"), service(repository, twin=replace(spec, checks=(spoil, *spec.checks)))
    )
    assert held.outcome is RehearsalOutcome.PASSED, held


@running
async def test_what_cannot_be_rehearsed_is_said(repository: Path) -> None:
    restart = Target(name="one", service="shop", adapter="process")
    both = replace(service(repository), targets={**service(repository).targets, "one": restart})
    twin = SandboxTwin({"git_patch": GitPatchAdapter, "process": GitPatchAdapter}, RULES)
    alone = await twin.rehearse(planned({"name": "restart"}), both)
    assert alone.outcome is RehearsalOutcome.NOT_POSSIBLE
    assert alone.reason == "restart is not rehearsed: there are no copies of process targets"
    mixed = await twin.rehearse(planned(_fields(patching("better")), {"name": "restart"}), both)
    assert mixed.outcome is RehearsalOutcome.PASSED
    assert "restart is not rehearsed" in mixed.reason


@running
async def test_required_rehearsal_that_is_not_possible_fails(repository: Path) -> None:
    held = await rehearsed(planned({}), service(repository), replace(RULES, required=True))
    assert held.outcome is RehearsalOutcome.FAILED
    assert "twin.required" in held.reason


def under(condition: str, *children: Node, otherwise: tuple[Node, ...] = ()) -> Node:
    kind = NodeKind.CONDITION
    return Node(kind=kind, key=condition, name=condition, children=children, otherwise=otherwise)


def nodes(plan: Plan) -> list[Node]:
    return [Node(kind=NodeKind.ACTION, key=action.key, name=action.name) for action in plan.steps]


@running
async def test_both_branches_of_a_condition_are_tried_on_fresh_copies(repository: Path) -> None:
    """Both change the same line: on a copy that the other has changed, neither would apply."""
    plan = patching("better", "bad")
    good, bad = plan.steps
    plan = replace(plan, steps=(good, replace(bad, params={"diff": diff("good", "bad")})))
    first, second = nodes(plan)
    held = await rehearsed(
        replace(plan, course=(under("is it slow", first, otherwise=(second,)),)), service(repository)
    )
    assert held.outcome is RehearsalOutcome.FAILED
    assert held.reason == "smoke [not is it slow]: ends with 1 (before: passes)"
    assert named(held, "write better [is it slow]").after == "done"
    assert named(held, "take back: write better [is it slow]").after == "as before"
    assert named(held, "take back: write bad [not is it slow]").after == "as before"
    assert "is it slow: both branches tried, each on fresh copies" in held.limits


class Breaking(GitPatchAdapter):
    """An adapter that breaks on what is to become slow, by an error that is nobody's."""

    async def snapshot(self, action: Action) -> Snapshot:
        if action.name == "write slow":
            raise OSError(5, "Input/output error")
        return await super().snapshot(action)


@running
async def test_what_was_found_to_fail_has_failed_whatever_comes_after(repository: Path) -> None:
    plan = patching("bad", "slow")
    bad, slow = plan.steps
    plan = replace(plan, steps=(bad, replace(slow, params={"diff": diff("good", "slow")})))
    first, second = nodes(plan)
    twin = SandboxTwin({"git_patch": Breaking}, RULES)
    alone = await twin.rehearse(replace(plan, course=(second,)), service(repository))
    assert alone.outcome is RehearsalOutcome.NOT_POSSIBLE
    held = await twin.rehearse(
        replace(plan, course=(under("is it slow", first, otherwise=(second,)),)), service(repository)
    )
    assert held.outcome is RehearsalOutcome.FAILED
    assert held.reason == "smoke [is it slow]: ends with 1 (before: passes)"


@running
async def test_what_is_side_by_side_is_tried_in_turn_and_nothing_is_waited_for(repository: Path) -> None:
    plan = patching("better", "best")
    first, second = nodes(plan)
    wait = Node(kind=NodeKind.WAIT, key="w", name="until it is calm")
    course = (Node(kind=NodeKind.PARALLEL, key="p", name="both", children=(first, second)), wait)
    held = await rehearsed(replace(plan, course=course), service(repository))
    assert held.outcome is RehearsalOutcome.PASSED, held
    assert [check.name for check in held.checks[:2]] == ["write better", "write best"]
    assert "until it is calm: not waited for" in held.limits
    assert "both: tried one after the other, not side by side" in held.limits


@running
async def test_recorded_requests_are_compared(repository: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "requests.jsonl"
    recorded.write_text("\n".join(json.dumps({"method": "GET", "path": path}) for path in ("/a", "/b?x=1")))
    spec = TwinSpec(
        serve=TwinServe(argv=(PYTHON, "server.py"), port=8123, ready_seconds=10),
        replay=TwinReplay(file=str(recorded), headers=("X-Kind",), ignore=("/at",)),
    )
    worse = await rehearsed(patching("bad"), service(repository, twin=spec))
    assert worse.outcome is RehearsalOutcome.FAILED
    assert {check.name for check in worse.checks if not check.held} == {
        "recorded requests",
        "GET /a",
        "GET /b",
    }
    lenient = replace(spec, replay=TwinReplay(file=str(recorded), ignore=("/at", "/said")))
    same = await rehearsed(patching("bad"), service(repository, twin=lenient))
    assert same.outcome is RehearsalOutcome.PASSED, same
    assert named(same, "recorded requests").after.startswith("2 answers")


@running
async def test_configuration_of_the_repository_runs_nothing(repository: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\necho $0 >> {seen}\ncat\n")
    script.chmod(0o755)
    for hook in ("post-checkout", "post-commit", "reference-transaction", "post-index-change"):
        (repository / ".git/hooks" / hook).symlink_to(script)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(repository, "-c", "core.hooksPath=/dev/null", "add", ".gitattributes")
    git(repository, "-c", "core.hooksPath=/dev/null", "commit", "-qm", "attributes")
    for name, value in (
        ("filter.evil.smudge", str(script)),
        ("filter.evil.clean", str(script)),
        ("filter.evil.required", "true"),
        ("diff.evil.textconv", str(script)),
        ("core.fsmonitor", str(script)),
        ("core.sshCommand", str(script)),
        ("uploadpack.packObjectsHook", str(script)),
        ("core.pager", str(script)),
    ):
        git(repository, "-c", "core.fsmonitor=false", "config", name, value)
    assert not seen.exists()
    place = tmp_path / "copy"
    copy = await copied(service(repository).targets["code"], place, BOUNDS)
    assert (copy.folder / "app.txt").read_text() == "good\n"
    assert not seen.exists()
    assert "evil" not in (place / "git" / "config").read_text()


@pytest.mark.parametrize("link", ["/etc/passwd", "../outside", "a/../../outside"])
@running
async def test_link_that_leaves_a_repository_is_refused(repository: Path, tmp_path: Path, link: str) -> None:
    (repository / "link").symlink_to(link)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "link")
    with pytest.raises(CannotCopy, match="leads out of the repository"):
        await copied(service(repository).targets["code"], tmp_path / "copy", BOUNDS)


@running
async def test_folder_is_copied_without_what_leads_out(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.write_text("precious")
    (root / "sub").mkdir()
    (root / "sub" / "file").write_text("x")
    (root / "inside").symlink_to("sub/file")
    (root / "leaves").symlink_to(outside)
    (root / "sub" / "up").symlink_to("../../outside")
    os.link(outside, root / "hard")
    os.mkfifo(root / "pipe")
    (bound := socket.socket(socket.AF_UNIX)).bind(str(root / "socket"))
    bound.close()
    target = Target(
        name="f",
        service="s",
        adapter="file",
        options={"root": str(root), "trash": str(outside), "most_bytes": 5},
    )
    copy = await copied(target, tmp_path / "copy", BOUNDS)
    assert sorted(str(path.relative_to(copy.folder)) for path in copy.folder.rglob("*")) == [
        "hard", "inside", "sub", "sub/file",
    ]  # fmt: skip
    (copy.folder / "hard").write_text("changed")
    assert outside.read_text() == "precious"
    assert copy.options == {"root": str(copy.folder), "most_bytes": 5}
    assert len(copy.notes) == 4


@running
async def test_copies_are_bounded(tmp_path: Path, repository: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "big").write_bytes(bytes(2 << 20))
    target = Target(name="f", service="s", adapter="file", options={"root": str(root)})
    with pytest.raises(CannotCopy, match="bytes"):
        await copied(target, tmp_path / "copy", BOUNDS)
    (root / "big").unlink()
    for number in range(300):
        (root / str(number)).touch()
    with pytest.raises(CannotCopy, match="files"):
        await copied(target, tmp_path / "copy2", BOUNDS)
    with pytest.raises(CannotCopy, match="bytes"):
        await copied(service(repository).targets["code"], tmp_path / "copy3", Bounds(size=10, files=10))


@running
async def test_sqlite_is_copied_as_of_one_moment(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    writer = sqlite3.connect(file)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    writer.execute("INSERT INTO item VALUES (1)")
    writer.commit()
    writer.execute("INSERT INTO item VALUES (2)")  # not committed
    target = Target(name="db", service="s", adapter="sql", options={"url": f"sqlite:///{file}"})
    copy = await copied(target, tmp_path / "copy", BOUNDS)
    path = Path(str(copy.options["url"]).removeprefix("sqlite:///"))
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT id FROM item").fetchall() == [(1,)]
    reader.close()
    writer.close()
    server = replace(target, options={"url": "postgresql://x/y"})
    assert "for which the option `twin` says so" in copies.obstacle(server)
    assert copies.obstacle(replace(server, options={"url": "postgresql://x/y", "twin": {}})) == ""


@running
async def test_workshop_of_a_killed_process_is_swept() -> None:
    script = (
        "import asyncio\nfrom penelope.adapters.twin.workshop import workshop\n"
        "async def main():\n async with workshop() as folder:\n  print(folder.parent, flush=True)\n"
        "  (folder / 'x').mkdir(mode=0o500)\n  await asyncio.sleep(100)\nasyncio.run(main())"
    )
    process = await spawn(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    folder = Path((await process.stdout.readline()).decode().strip())
    sweep()
    assert folder.is_dir()  # noqa: ASYNC240 - its process lives
    process.kill()
    await process.wait()
    async with workshop() as other:
        assert other.is_dir()
        assert not folder.exists()  # noqa: ASYNC240 - nothing else runs here
    assert not other.exists()
