"""The list of patches over a repository into which others write what they like."""

import asyncio
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from penelope.domain.service import Service, Target
from penelope.entry.api.patches import PatchVersion, list_patches


class Reader:
    """Knows no unit, and takes text alone, like a database."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def asked_unit(self, kind: str, identifier: str) -> None:
        self.asked.append(f"{kind} {identifier.encode().decode()}")


def _commit(repository: Path, message: bytes) -> None:
    """A commit with these very bytes; `git commit` would take what is not UTF-8 for Latin-1."""

    def git(*argv: str, stdin: bytes = b"") -> str:
        ran = subprocess.run(["git", *argv], cwd=repository, check=True, capture_output=True, input=stdin)
        return ran.stdout.decode().strip()

    git("init", "-q")
    person = b"t <t@example.org> 1790000000 +0000"
    tree = git("mktree").encode()
    content = b"tree %s\nauthor %s\ncommitter %s\n\n%s" % (tree, person, person, message)
    git(
        "update-ref",
        "HEAD",
        git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content),
    )


def _listed(repository: Path, reader: Reader) -> list[PatchVersion]:
    target = Target(
        name="config", service="shop", adapter="git_patch", options={"repository": str(repository)}
    )
    shop = Service(name="shop", owner="team", tier=1, targets={"config": target})
    application: Any = SimpleNamespace(parts=SimpleNamespace(service=lambda _: shop), reader=reader)
    return asyncio.run(list_patches(application, "shop", "config"))


def test_what_is_no_text_in_a_commit_is_listed_all_the_same(tmp_path: Path) -> None:
    reader = Reader()
    _commit(tmp_path, b"caf\xe9\n\nPenelope-Action: k\xff\nPenelope-Who: z\xfcri\n")
    (found,) = _listed(tmp_path, reader)
    assert found.model_dump_json()
    assert (found.subject, found.action, found.who) == ("caf\ufffd", "k\ufffd", "z\ufffdri")
    assert (found.status, found.contract, found.verdict) == (None, [], None)
    assert reader.asked == ["action k\ufffd", "verdict k\ufffd:verdict"]
