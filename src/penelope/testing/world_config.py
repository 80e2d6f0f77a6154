"""A world whose last commit broke the configuration of its service, in a real git repository."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing import config_server
from penelope.testing.detached import Detached, read_number, until
from penelope.testing.worlds import World

_INSTANCES = ("a", "b")
_GOOD, _BAD = 'workers = 4\ncurrency = "EUR"\n', 'workers = 0\ncurrency = "EUR"\n'


class BadConfig(World):
    """Two instances read the configuration of one repository, and one commit made it invalid."""

    playbook = "revert-bad-config"
    thing = "a real git repository, and a small HTTP service of two processes that reads it"
    real = True
    signal_name = "ShopConfigInvalid"

    def __init__(self) -> None:
        self._folder = Path()
        self._processes: list[Detached] = []
        self._first = ""

    @property
    def _repository(self) -> Path:
        return self._folder / "config"

    async def open(self, folder: Path) -> None:
        self._folder = folder
        self._repository.mkdir()
        try:
            self._git("init", "--quiet", "--initial-branch=main")
        except OSError as error:
            raise Unavailable("git is not installed here") from error
        self._first = self._commit("Begin", _GOOD)
        for name in _INSTANCES:
            argv = [sys.executable, "-I", "-S", config_server.__file__, str(self._repository), self._port_file(name)]  # fmt: skip
            self._processes.append(Detached(argv))
        await until(lambda: all(map(self._port, _INSTANCES)), "its service does not listen")

    async def close(self) -> None:
        for process in self._processes:
            await process.end()

    async def reset(self) -> None:
        (self._repository / ".git" / "index.lock").unlink(missing_ok=True)
        self._git("reset", "--quiet", "--hard", self._first)
        self._git("clean", "--quiet", "-d", "--force")
        await self._reload("reset")

    async def break_it(self) -> None:
        self._commit("Save workers", _BAD)
        await self._reload("break")

    def service(self) -> Service:
        targets = {"config": ("git_patch", {"repository": str(self._repository), "branch": "main"})}
        for name in _INSTANCES:
            url = f"http://127.0.0.1:{self._port(name)}"
            targets[f"admin-{name}"] = ("http", {"base_url": url})
        return Service(
            name="shop",
            owner="team shop",
            tier=1,
            targets={
                name: Target(name=name, service="shop", adapter=adapter, options=options)
                for name, (adapter, options) in targets.items()
            },
        )

    async def healthy(self) -> bool:
        return all([await self._valid(name) for name in _INSTANCES])

    async def state(self) -> Json:
        """The tree and the working files; commits stay, for history is not rewritten."""
        return {
            "tree": self._git("rev-parse", "HEAD^{tree}"),
            "status": self._git("status", "--porcelain"),
            "file": (self._repository / "shop.toml").read_text(encoding="utf-8"),
        }

    async def changes(self) -> Mapping[str, Json]:
        return {"change.config.head": self._git("rev-parse", "HEAD")}

    async def gauges(self) -> Mapping[str, float]:
        return {"config_valid": float(await self.healthy())}

    def _commit(self, message: str, content: str) -> str:
        (self._repository / "shop.toml").write_text(content, encoding="utf-8")
        self._git("add", "shop.toml")
        self._git("commit", "--quiet", "--allow-empty", "--message", message)
        return self._git("rev-parse", "HEAD")

    def _git(self, *argv: str) -> str:
        people = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **dict.fromkeys(people, "dev@example.org"),
        }
        command = ["git", "-C", str(self._repository), *argv]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - the words of this class
        if done.returncode != 0:
            raise Unavailable(f"git {argv[0]} fails in the world: {done.stderr.strip()[:200]}")
        return done.stdout.strip()

    def _port_file(self, name: str) -> str:
        return str(self._folder / f"port-{name}")

    def _port(self, name: str) -> int:
        return read_number(Path(self._port_file(name)))

    async def _reload(self, why: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            for name in _INSTANCES:
                # A key that was used before would change nothing.
                headers = {"Idempotency-Key": f"{why}-{os.urandom(8).hex()}"}
                await client.post(f"http://127.0.0.1:{self._port(name)}/admin/reload", headers=headers)

    async def _valid(self, name: str) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self._port(name)}/health")
        except httpx.HTTPError:
            return False
        return bool(json.loads(answer.content)["valid"])
