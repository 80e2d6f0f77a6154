"""Changes that were made to do harm: each is refused by the check that is for it, precisely, and nothing changes.

Diffs, paths, arguments, commands, units, playbooks and catalogues. Every case states the error's class, its stable code
and its words, so that it is seen to reach the check that is meant, and the world is hashed before and after.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.actions.command import CommandAdapter
from penelope.adapters.actions.file import FileAdapter
from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.installed import operations
from penelope.adapters.actions.systemd import SystemdAdapter
from penelope.adapters.catalogue.load import load_services
from penelope.adapters.playbooks.load import load
from penelope.domain.action import Action, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    InvalidCatalogue,
    InvalidPatch,
    InvalidPlaybook,
    PenelopeError,
)
from penelope.rooms.act.run import perform

CORPUS = Path(__file__).parents[1] / "corpus" / "hostile_changes"
RTL, ZERO_WIDTH, DIGIT = "\u202e", "\u200b", "\u0661"


@dataclass
class Ground:
    """A folder with a repository, files, and something outside of both that nobody may reach."""

    top: Path

    @property
    def repository(self) -> Path:
        return self.top / "repository"

    @property
    def root(self) -> Path:
        return self.top / "root"

    @property
    def outside(self) -> Path:
        return self.top / "outside"

    def digest(self) -> str:
        """Of all names, kinds, modes and contents, git's own folder included."""
        found = hashlib.sha256()
        for path in sorted(self.top.rglob("*")):
            stat = path.lstat()
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            found.update(f"{path.relative_to(self.top)}|{stat.st_mode}|{len(content)}|".encode())
            found.update(content)
        return found.hexdigest()


def git(folder: Path, *argv: str) -> None:
    people = {
        f"GIT_{role}_{part}": "dev@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **people,
    }
    subprocess.run(["git", "-C", str(folder), *argv], env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    ground = Ground(tmp_path_factory.mktemp("hostile"))
    for folder in (ground.repository / "sub", ground.root / "conf", ground.outside):
        folder.mkdir(parents=True)
    (ground.repository / "config.ini").write_text("[shop]\nworkers = 4\n")
    (ground.repository / "sub" / "a.txt").write_text("a\n")
    (ground.repository / "link").symlink_to("sub")
    git(ground.repository, "init", "--quiet", "--initial-branch=main")
    git(ground.repository, "add", "--all")
    git(ground.repository, "commit", "--quiet", "--message", "Begin")
    (ground.root / "conf" / "app.conf").write_text("workers = 4\n")
    (ground.root / "inner").symlink_to("conf")
    (ground.root / "leaving").symlink_to(ground.outside)
    (ground.root / "file-link").symlink_to(ground.outside / "secret")
    (ground.root / "self").symlink_to("self")
    (ground.outside / "secret").write_text("precious\n")
    (ground.root / "second").hardlink_to(ground.outside / "secret")
    os.mkfifo(ground.root / "pipe")
    program = ground.top / "echo"
    program.write_text(f'#!/bin/sh\necho "$@" > {ground.outside}/ran\n')
    program.chmod(0o755)
    return ground


@pytest.fixture
def ground(pristine: Ground) -> Iterator[Ground]:
    """The ground, which must be the same afterwards, byte by byte."""
    before = pristine.digest()
    yield pristine
    assert pristine.digest() == before, "the world was changed"


def refused(adapter: Any, action: Action, tmp_path: Path) -> PenelopeError:
    """The error by which an action is refused. Neither looking nor acting may get through; nor may a dry run."""

    async def tried() -> PenelopeError:
        try:
            adapter.validate(action.operation, action.params)
            snapshot = await adapter.snapshot(action)
            await adapter.dry_run(action, snapshot)
            await perform(adapter, action, snapshot, first_attempt=True)
        except PenelopeError as error:
            return error
        pytest.fail(f"it was carried out, in {tmp_path}")

    return asyncio.run(tried())


def act(adapter: str, operation: str, options: dict[str, Any], params: dict[str, Any]) -> Action:
    return Action(
        key="inc/hostile/0",
        name="harm",
        adapter=adapter,
        operation=operation,
        target=Target(name="it", service="shop", adapter=adapter, options=options),
        params=params,
        tier=Tier.SNAPSHOT,
        timeout_seconds=10.0,
    )


def expect(error: PenelopeError, kind: type[PenelopeError], words: str) -> None:
    assert type(error) is kind, error
    assert error.code == kind.code
    assert words in error.message
    assert error.advice


def new(path: str, line: str = "x", mode: str = "100644") -> str:
    return f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n"


def edit(path: str, old: str = "a", fresh: str = "b") -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{fresh}\n"


DIFFS: dict[str, tuple[str, str]] = {
    "escape by dots": (new("../outside/secret"), "leaves the repository"),
    "escape in the middle": (new("sub/../../outside/x"), "leaves the repository"),
    "dots in the source only": ("--- a/../x\n+++ b/config.ini\n@@ -1 +1 @@\n-a\n+b\n", "leaves the repository"),
    "absolute": ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "does not begin with a/"),
    "absolute behind the prefix": (new("/etc/passwd"), "leaves the repository"),
    "dot as a folder": (new("./x"), "leaves the repository"),
    "dots with a blank": (new(".. /x"), "leaves the repository"),
    "git's folder": (new(".git/hooks/post-checkout"), "lies in git's own folder"),
    "git's folder in capitals": (new(".GIT/config"), "lies in git's own folder"),
    "git's folder in mixed case below": (new("sub/.Git/config"), "lies in git's own folder"),
    "git's short name": (new("git~1/config"), "lies in git's own folder"),
    "git's short name, numbered": (new("GIT~2/config"), "lies in git's own folder"),
    "git's folder with a dot behind": (new(".git./config"), "lies in git's own folder"),
    "git's folder with a blank behind": (new(".git /config"), "lies in git's own folder"),
    "a stream of NTFS": (new(".git::$INDEX_ALLOCATION/config"), "lies in git's own folder"),
    "a zero width joiner in .git": (new(".g\u200cit/config"), "control or invisible"),
    "backslashes": (new("sub\\..\\..\\x"), "the Windows way"),
    "a drive": (new("C:/x"), "the Windows way"),
    "a quoted escape": ('--- "a/\\056\\056/x"\n+++ "b/\\056\\056/x"\n@@ -1 +1 @@\n-a\n+b\n', "leaves the repository"),
    "a quoted .git": ('--- "a/\\056git/x"\n+++ "b/\\056git/x"\n@@ -1 +1 @@\n-a\n+b\n', "lies in git's own folder"),
    "quoted wrongly": ('--- "a/x\n+++ "b/x\n@@ -1 +1 @@\n-a\n+b\n', "quoted wrongly"),
    "quoted and not UTF-8": ('--- "a/\\377"\n+++ "b/\\377"\n@@ -1 +1 @@\n-a\n+b\n', "is not UTF-8"),
    "a quoted line end": ('--- "a/x\\ny"\n+++ "b/x\\ny"\n@@ -1 +1 @@\n-a\n+b\n', "control or invisible"),
    "right to left": (new(f"sub/{RTL}gpj.exe"), "control or invisible"),
    "zero width": (new(f"sub/a{ZERO_WIDTH}.txt"), "control or invisible"),
    "NUL": (edit("config.ini\0.txt"), "is not text"),
    "a symbolic link": (new("link2", "/etc/passwd", "120000"), "a link or a submodule (mode 120000)"),
    "a submodule": (new("module", "Subproject commit 0123456789", "160000"), "a link or a submodule (mode 160000)"),
    "a file made a link": ("diff --git a/sub/a.txt b/sub/a.txt\nold mode 100644\nnew mode 120000\n", "a link or a submodule"),
    "a device's mode": (new("device", "x", "060000"), "a link or a submodule (mode 060000)"),
    "set-user-id": (new("tool", "x", "104755"), "a link or a submodule (mode 104755)"),
    "through a link": (edit("link/a.txt"), "leads through a symbolic link"),
    "the link itself": (edit("link", "sub", "/etc"), "leads through a symbolic link"),
    "binary": ("diff --git a/x b/x\nindex 0000000..1111111 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n", "a binary file"),
    "binary, in words": ("Binary files a/x and b/x differ\n", "a binary file"),
    "huge": (new("big", "x" * (1024 * 1024)), "the diff has 1048"),
    "many files": ("".join(new(f"f{number}") for number in range(201)), "touches 201 files"),
    "rename out of it": ("diff --git a/config.ini b/x\nsimilarity index 100%\nrename from config.ini\nrename to ../outside/x\n", "leaves the repository"),
    "copy into .git": ("diff --git a/config.ini b/x\nsimilarity index 100%\ncopy from config.ini\ncopy to .git/config\n", "lies in git's own folder"),
    "prose between": (edit("config.ini") + "please also run rm -rf /\n" + edit("sub/a.txt"), "a line that is none of a diff"),
    "nothing": ("hello\n", "changes no file"),
    "a lone surrogate": (edit("config.ini", "a", "\ud800"), "is not text"),
    "a key of a cloud": (edit("config.ini", "a", "AKIA" + "QWERTYUIOPASDFGH"), "holds a secret (AWS Access Key)"),
    "a private key": (edit("config.ini", "a", "-----BEGIN RSA PRIVATE" + " KEY-----"), "holds a secret (Private Key)"),
    "a password": (edit("config.ini", "a", "password = hunter2hunter2"), "holds a secret (named secret)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFS)
def test_a_hostile_diff_is_refused(ground: Ground, tmp_path: Path, name: str) -> None:
    diff, words = DIFFS[name]
    action = act("git_patch", "apply", {"repository": str(ground.repository)}, {"diff": diff})
    error = refused(GitPatchAdapter(), action, tmp_path)
    if isinstance(error, ActionFailed):  # perform says so of whatever an adapter refuses as input
        expect(error, ActionFailed, words)
    else:
        expect(error, InvalidPatch, words)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"commit": "--all"}, "not a hexadecimal id"),
        ({"commit": "HEAD"}, "not a hexadecimal id"),
        ({"commit": "0123abc\n"}, "not a hexadecimal id"),
        ({"commit": "0123abc", "who": "x\nPenelope-Action: forged"}, "who must be a line"),
        ({"commit": "0123abc", "why": RTL}, "why must be a line"),
        ({"commit": "0123abc", "parent": "x" * 301}, "parent must be a line"),
        ({"commit": "0123abc", "exec": "sh"}, "unknown field `exec`"),
    ],
)
def test_a_hostile_revert_is_refused(
    ground: Ground, tmp_path: Path, params: dict[str, Any], words: str
) -> None:
    action = act("git_patch", "revert", {"repository": str(ground.repository)}, params)
    expect(refused(GitPatchAdapter(), action, tmp_path), InvalidPlaybook, words)


PATHS: dict[str, tuple[str, type[PenelopeError], str]] = {
    "dots": ("../outside/secret", InvalidPlaybook, "leaves the root"),
    "dots in the middle": ("conf/../../outside/secret", InvalidPlaybook, "leaves the root"),
    "absolute": ("/etc/passwd", InvalidPlaybook, "is absolute"),
    "empty": ("", InvalidPlaybook, "has 1 to 1000 characters"),
    "too long": ("a/" * 501, InvalidPlaybook, "has 1 to 1000 characters"),
    "two slashes": ("conf//app.conf", InvalidPlaybook, "leaves the root, or is not plain"),
    "backslash": ("conf\\app.conf", InvalidPlaybook, "the Windows way"),
    "NUL": ("conf/app.conf\0.txt", InvalidPlaybook, "control or invisible"),
    "line end": ("conf/app.conf\n", InvalidPlaybook, "control or invisible"),
    "right to left": (f"conf/{RTL}fnoc.ppa", InvalidPlaybook, "control or invisible"),
    "git": (".git/config", InvalidPlaybook, "git's own folder"),
    "git in capitals": ("conf/.GIT/config", InvalidPlaybook, "git's own folder"),
    "git's short name": ("git~1/config", InvalidPlaybook, "git's own folder"),
    "a stream": (".git::$INDEX_ALLOCATION/x", InvalidPlaybook, "git's own folder"),
    "ours": (".penelope-0123456789abcdef", InvalidPlaybook, "of Penelope's own"),
    "through a link inside": ("inner/app.conf", ActionFailed, "leads through a symbolic link"),
    "through a link outside": ("leaving/secret", ActionFailed, "leads through a symbolic link"),
    "through a link to itself": ("self/x", ActionFailed, "leads through a symbolic link"),
    "a link": ("file-link", ActionFailed, "is a symbolic link"),
    "a second name": ("second", ActionFailed, "has 2 hard links"),
    "a pipe": ("pipe", ActionFailed, "is a pipe"),
    "a folder": ("conf", ActionFailed, "is a folder"),
    "below a file": ("conf/app.conf/x", ActionFailed, "leads through what is no folder"),
    "no folder": ("nowhere/x", ActionFailed, "a folder that is not there"),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_hostile_path_is_refused(ground: Ground, tmp_path: Path, name: str) -> None:
    path, kind, words = PATHS[name]
    changes = {
        "replace": {"text": "harm", "create": True},
        "edit_lines": {"edits": [{"old": "workers = 4", "new": "workers = 0"}]},
        "truncate_log": {},
    }
    for operation, params in changes.items():
        action = act("file", operation, {"root": str(ground.root)}, {"path": path, **params})
        error = refused(FileAdapter(tmp_path / "kept"), action, tmp_path)
        expect(error, kind, "symbolic link" if name == "a link" else words)


FILES: dict[str, tuple[str, dict[str, Any], type[PenelopeError], str]] = {
    "a source outside": ("replace", {"path": "conf/app.conf", "source": "leaving/secret"}, ActionFailed, "leads through a symbolic link"),
    "a source by link": ("replace", {"path": "conf/app.conf", "source": "file-link"}, ActionFailed, "is a symbolic link"),
    "a source that is a second name": ("replace", {"path": "conf/app.conf", "source": "second"}, ActionFailed, "hard links"),
    "a link that leaves": ("symlink", {"path": "inner", "to": "../outside"}, InvalidPlaybook, "leaves the root"),
    "a link to an absolute path": ("symlink", {"path": "inner", "to": "/etc"}, InvalidPlaybook, "an absolute path"),
    "a link into git": ("symlink", {"path": "inner", "to": ".git"}, InvalidPlaybook, "git's own folder"),
    "a link to nothing": ("symlink", {"path": "inner", "to": "nowhere"}, ActionFailed, "lead to nothing"),
    "set-user-id": ("set_mode", {"path": "conf/app.conf", "mode": "4755"}, InvalidPlaybook, "set-id bits are refused"),
    "a mode for all": ("set_mode", {"path": "conf/app.conf", "mode": "0666"}, InvalidPlaybook, "lets anybody write"),
    "a mode in words": ("set_mode", {"path": "conf/app.conf", "mode": "u+s"}, InvalidPlaybook, "three octal digits"),
    "a mode with a line end": ("set_mode", {"path": "conf/app.conf", "mode": "0640\n"}, InvalidPlaybook, "three octal digits"),
    "no base64": ("replace", {"path": "conf/app.conf", "base64": "!!!"}, InvalidPlaybook, "not base64"),
    "two contents": ("replace", {"path": "conf/app.conf", "text": "a", "base64": "YQ=="}, InvalidPlaybook, "exactly one of"),
    "too large": ("replace", {"path": "conf/app.conf", "text": "x" * 2_000_000}, ActionFailed, "larger than 1000000 bytes"),
    "two lines at once": ("edit_lines", {"path": "conf/app.conf", "edits": [{"old": "a\nb", "new": "c"}]}, InvalidPlaybook, "single lines"),
    "a line that is not there": ("edit_lines", {"path": "conf/app.conf", "edits": [{"old": "nothing", "new": "c"}]}, ActionFailed, "is about 1 lines, and 0 are there"),
    "a pattern with folders": ("remove_old", {"folder": "conf", "pattern": "../*", "older_than_seconds": 1, "at_most_files": 1, "at_most_bytes": 1}, InvalidPlaybook, "leaves the root"),
    "a folder through a link": ("remove_old", {"folder": "leaving", "pattern": "*", "older_than_seconds": 1, "at_most_files": 1, "at_most_bytes": 1}, ActionFailed, "leads through"),
    "without a bound": ("remove_old", {"folder": "conf", "pattern": "*", "older_than_seconds": 1, "at_most_files": 10**9, "at_most_bytes": 1}, InvalidPlaybook, "at_most_files is at least 1 and at most"),
    "what is in use": ("remove_old", {"folder": "conf", "pattern": "*", "older_than_seconds": 0, "at_most_files": 1, "at_most_bytes": 1}, InvalidPlaybook, "what is in use is not old"),
    "a log set aside elsewhere": ("rotate", {"path": "conf/app.conf", "to": "../leaving/x"}, InvalidPlaybook, "leaves the root"),
    "a log set aside below": ("rotate", {"path": "conf/app.conf", "to": "x/y"}, InvalidPlaybook, "a name in the log's own folder"),
    "a log under its own name": ("rotate", {"path": "conf/app.conf", "to": "app.conf"}, InvalidPlaybook, "under its own name"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_change_of_files_is_refused(ground: Ground, tmp_path: Path, name: str) -> None:
    operation, params, kind, words = FILES[name]
    action = act("file", operation, {"root": str(ground.root), "most_bytes": 1_000_000}, params)
    expect(refused(FileAdapter(tmp_path / "kept"), action, tmp_path), kind, words)


@pytest.mark.parametrize("root", ["/", "relative", "/tmp/../etc", "", "/tmp\0/x"])
def test_a_hostile_root_is_refused(ground: Ground, tmp_path: Path, root: str) -> None:
    action = act("file", "replace", {"root": root}, {"path": "passwd", "text": "x"})
    error = refused(FileAdapter(tmp_path / "kept"), action, tmp_path)
    expect(error, InvalidCatalogue, "must be an absolute path of a folder")
    assert ground.root.exists()


ARGUMENTS: dict[str, tuple[str, str]] = {
    "an option": ("--output=/etc/passwd", "begins with a hyphen"),
    "a short option": ("-rf", "begins with a hyphen"),
    "a hyphen alone": ("-", "begins with a hyphen"),
    "NUL": ("a\0b", "control or invisible"),
    "a line end": ("abc\n", "control or invisible"),
    "a carriage return": ("abc\r", "control or invisible"),
    "right to left": (f"a{RTL}b", "control or invisible"),
    "zero width": (f"a{ZERO_WIDTH}b", "control or invisible"),
    "a line separator": ("a\u2028b", "pattern in full"),
    "a digit of another script": (f"a{DIGIT}", "pattern in full"),
    "a letter that looks alike": ("\u0430bc", "pattern in full"),
    "a command behind": ("abc; rm -rf /", "pattern in full"),
    "a substitution": ("$(reboot)", "pattern in full"),
    "a path": ("../../etc/passwd", "pattern in full"),
    "a placeholder": ("{key}", "pattern in full"),
    "nothing": ("", "pattern in full"),
    "too long": ("a" * 201, "longer than 200 characters"),
}


def commands(ground: Ground, **rule: Any) -> dict[str, Any]:
    given = {
        "program": str(ground.top / "echo"),
        "argv": ["{word}"],
        "arguments": {"word": {"pattern": r"^[\w-]+$"}},
        **rule,
    }
    return {"commands": {"echo": given}}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_hostile_argument_is_refused(ground: Ground, tmp_path: Path, name: str) -> None:
    value, words = ARGUMENTS[name]
    action = act("command", "run", commands(ground), {"command": "echo", "arguments": {"word": value}})
    error = refused(CommandAdapter(tmp_path / "receipts"), action, tmp_path)
    expect(error, InvalidPlaybook, words)
    assert value not in error.message or len(value) < 2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"command": "reboot"}, "allows no command 'reboot'"),
        ({"command": "../echo"}, "small letters, digits"),
        ({"command": "echo\n"}, "small letters, digits"),
        ({"command": "echo"}, "needs the argument 'word'"),
        ({"command": "echo", "arguments": {"word": "a", "env": "LD_PRELOAD"}}, "takes no argument 'env'"),
        ({"command": "echo", "arguments": {"key": "a", "word": "a"}}, "takes no argument 'key'"),
        ({"command": "echo", "arguments": {"word": ["a", "b"]}}, "Expected `str`"),
        ({"command": "echo", "shell": True}, "unknown field `shell`"),
        ("echo hello", "Expected `object`"),
    ],
)
def test_a_hostile_command_is_refused(ground: Ground, tmp_path: Path, params: Any, words: str) -> None:
    action = act("command", "run", commands(ground), params)
    expect(refused(CommandAdapter(tmp_path / "receipts"), action, tmp_path), InvalidPlaybook, words)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"program": "echo"}, "not an absolute, plain path"),
        ({"program": "/bin/../bin/echo"}, "not an absolute, plain path"),
        ({"program": "/bin/sh", "argv": ["-c", "echo {word}"]}, "a string for a shell is refused"),
        ({"program": "/bin/bash", "argv": ["-lc", "x"]}, "a string for a shell is refused"),
        ({"argv": ["say {word}"]}, "must be a whole word"),
        ({"argv": ["{word}{word}"]}, "must be a whole word"),
        ({"argv": ["{other}"]}, "which it lacks"),
        ({"arguments": {"word": {}}}, "neither pattern nor choices"),
        ({"arguments": {"word": {"pattern": "("}}}, "no regular expression"),
        ({"inherit": ["LD_PRELOAD"]}, "never handed on"),
        ({"inherit": ["PENELOPE_DATABASE"]}, "never handed on"),
        ({"environment": {"A=B": "x"}}, "no name of a variable"),
        ({"folder": "here"}, "not an absolute path"),
        ({"limits": {"processes": 0}}, "more than nothing"),
        ({"undo": {"program": "undo"}}, "not an absolute, plain path"),
    ],
)
def test_a_hostile_rule_of_the_catalogue_is_refused(
    ground: Ground, tmp_path: Path, rule: dict[str, Any], words: str
) -> None:
    action = act("command", "run", commands(ground, **rule), {"command": "echo", "arguments": {"word": "a"}})
    expect(refused(CommandAdapter(tmp_path / "receipts"), action, tmp_path), InvalidCatalogue, words)


@pytest.mark.parametrize(
    "unit", ["-H=evil.service", "a.service;reboot", "a\n.service", "../a.service", f"a{RTL}.service"]
)
def test_a_hostile_unit_is_refused(ground: Ground, tmp_path: Path, unit: str) -> None:
    action = act("systemd", "restart", {"unit": unit, "systemctl": [str(ground.top / "echo")]}, {})
    expect(refused(SystemdAdapter(), action, tmp_path), InvalidCatalogue, "no plain name")


def test_a_packed_log_that_unpacks_to_more_than_it_held_is_not_believed(tmp_path: Path) -> None:
    """A bomb in the trash: what is unpacked is bounded by the log's size, and held against its hash."""
    import zstandard  # noqa: PLC0415 - only to make the bomb

    root = tmp_path / "root"
    root.mkdir()
    (root / "app.log").write_text("a line\n" * 2000)
    adapter, params = FileAdapter(tmp_path / "kept"), {"path": "app.log", "keep_bytes": 100}
    action = act("file", "truncate_log", {"root": str(root)}, params)

    async def steps() -> PenelopeError:
        snapshot = await adapter.snapshot(action)
        await adapter.execute(action, snapshot)
        (packed,) = (tmp_path / "kept" / "trash").rglob("log.zst")
        packed.write_bytes(zstandard.ZstdCompressor(level=19).compress(bytes(512 * 1024 * 1024)))
        assert packed.stat().st_size < 100_000
        before = (root / "app.log").read_bytes()
        try:
            await adapter.compensate(action, snapshot)
        except PenelopeError as error:
            assert (root / "app.log").read_bytes() == before
            return error
        pytest.fail("the bomb was believed")

    error = asyncio.run(steps())
    assert "has been altered" in error.message
    assert error.code == "compensation_failed"


FILED = {
    "aliases.yaml": "anchors and aliases are refused",
    "billion-laughs.yaml": "anchors and aliases are refused",
    "deep.yaml": "nested more than 40 deep",
    "huge-scalar.yaml": "the file is larger than 256 KiB",
    "merge.yaml": "anchors and aliases are refused",
    "python-object.yaml": "tags are refused",
    "many-documents.yaml": "found another document",
    "twice.yaml": "stands here twice",
}


@pytest.fixture(params=FILED)
def filed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A file of the corpus; the two that are large are made here."""
    name: str = request.param
    path = tmp_path / name
    made = {"deep.yaml": "a: " + "[" * 100_000, "huge-scalar.yaml": "a: " + "x" * 300_000}
    path.write_text(made[name] if name in made else (CORPUS / name).read_text(encoding="utf-8"))
    return path, FILED[name]


def test_a_hostile_playbook_is_refused(filed: tuple[Path, str]) -> None:
    path, words = filed
    with pytest.raises(InvalidPlaybook) as caught:
        load([path], shipped=False, adapters=operations())
    expect(caught.value, InvalidPlaybook, words)
    assert caught.value.message.startswith(f"{path}:")


def test_a_hostile_catalogue_is_refused(filed: tuple[Path, str]) -> None:
    path, words = filed
    with pytest.raises(InvalidCatalogue) as caught:
        load_services(path, {})
    expect(caught.value, InvalidCatalogue, words)


def test_every_file_of_the_corpus_has_its_answer() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= FILED.keys()


def test_there_are_enough_of_them() -> None:
    assert len(DIFFS) + len(PATHS) + len(FILES) + len(ARGUMENTS) + len(FILED) >= 60
    assert sys.version_info >= (3, 11)
