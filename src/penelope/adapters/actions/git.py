"""Runs the system's git in one working tree, deaf to hooks and to the configuration of user and system."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from penelope.errors import Timeout, Unavailable
from penelope.kit.spawn import spawn

_COMPLAINT_CHARACTERS = 300
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.quotePath=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "commit.gpgSign=false",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a command. `complaint` is the first line that git wrote about a failure."""

    ok: bool
    out: bytes
    complaint: str


class Repository:
    """A working tree. Every method raises Unavailable where there is none, or git is not installed."""

    def __init__(self, path: Path, timeout_seconds: float = 30.0) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds

    async def run(self, *argv: str, stdin: bytes = b"", index: Path | None = None) -> bytes:
        """The output of a command that must succeed."""
        ran = await self.attempt(*argv, stdin=stdin, index=index)
        if not ran.ok:
            raise Unavailable(
                f"git {argv[0]} fails in the repository: {ran.complaint}",
                hint="Check the option `repository`: it is the top folder of a git working tree.",
            )
        return ran.out

    async def text(self, *argv: str, stdin: bytes = b"", index: Path | None = None) -> str:
        """The output of a command that must succeed, as text without the last line's end."""
        out = await self.run(*argv, stdin=stdin, index=index)
        return out.decode("utf-8", "replace").rstrip("\n")

    async def names(self, *argv: str) -> list[str]:
        """The output of a command that separates its fields by NUL; what is not UTF-8 becomes surrogates."""
        out = await self.run(*argv)
        return os.fsdecode(out).split("\0")[:-1]

    async def attempt(self, *argv: str, stdin: bytes = b"", index: Path | None = None) -> Ran:
        """Runs a command that may fail. Raises Timeout where it takes too long, and ends it."""
        async with self._process(argv, stdin, index) as process:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    out, complaint = await process.communicate()
            except TimeoutError:
                raise Timeout(f"git {argv[0]} has not ended within {self._timeout_seconds:g} s") from None
        first = complaint.decode("utf-8", "replace").strip().split("\n")[0]
        return Ran(process.returncode == 0, out, first[:_COMPLAINT_CHARACTERS])

    @asynccontextmanager
    async def _process(
        self, argv: Sequence[str], stdin: bytes, index: Path | None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        settings = [part for setting in _CONFIG for part in ("-c", setting)]
        try:
            # A file and no pipe: a git that ends before it has read all is no error then, on any event loop.
            with tempfile.TemporaryFile() as source:
                source.write(stdin)
                source.seek(0)
                process = await spawn(
                    "git",
                    "--literal-pathspecs",
                    "-C",
                    str(self.path),
                    *settings,
                    *argv,
                    stdin=source,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=self._environment(index),
                )
        except OSError as error:
            raise Unavailable(f"git cannot be run: {error.strerror}", hint="Install git.") from error
        try:
            yield process
        finally:
            if process.returncode is None:
                # Not killed: on this signal git takes its lock files away.
                process.terminate()
                await process.wait()

    def _environment(self, index: Path | None) -> dict[str, str]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            # Without this a folder that is no repository would be taken for part of one around it.
            "GIT_CEILING_DIRECTORIES": str(self.path.resolve().parent),
        }
        for role in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{role}_NAME"] = "Penelope"
            environment[f"GIT_{role}_EMAIL"] = "penelope@localhost"
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        return environment


@asynccontextmanager
async def scratch_index() -> AsyncIterator[Path]:
    """A place for an index of one's own, so that a tree can be built without touching the working tree."""
    with tempfile.TemporaryDirectory(prefix="penelope-index-") as folder:
        yield Path(folder) / "index"


def committed_at(text: str) -> datetime:
    """When a commit says that it was made (its ``%cI``). Whoever makes one writes any date: one beyond the calendar is the
    calendar's last moment.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)
