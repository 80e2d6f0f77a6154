"""Real targets for the action adapters: supervisord, an HTTP server, git repositories, routers."""

import os
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


@dataclass
class Supervised:
    """A supervisord with a program `app` that logs each start, `slow` to come up, `broken`, and `fading`."""

    root: Path
    url: str
    rpc: Any

    @property
    def options(self) -> dict[str, Any]:
        return {
            "supervisor": self.url,
            "program": "app",
            "release_link": str(self.root / "current"),
            "releases": str(self.root / "releases"),
        }

    @property
    def link(self) -> Path:
        return self.root / "current"

    @property
    def history(self) -> Path:
        return self.root / "current.history"

    def starts(self) -> list[str]:
        return (self.root / "starts").read_text().split()

    def settled_starts(self) -> list[str]:
        """All starts, once the run that the supervisor shows has logged its own."""
        if self.info()["statename"] == "RUNNING":
            pid = str(self.info()["pid"])
            eventually(lambda: pid in (self.root / "pids").read_text().split())
        return self.starts()

    def point_at(self, release: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(self.root / "releases" / release)

    def info(self, program: str = "app") -> dict[str, Any]:
        return dict(self.rpc.supervisor.getProcessInfo(program))

    def stop(self, program: str = "app") -> None:
        if self.info(program)["statename"] not in {"RUNNING", "STARTING", "BACKOFF"}:
            return
        try:
            self.rpc.supervisor.stopProcess(program)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != 70:  # NOT_RUNNING: it has ended by itself meanwhile
                raise

    def clear(self) -> None:
        """Supervisord ends its programs one a second; without any it ends at once."""
        self.rpc.supervisor.stopAllProcesses()
        for process in self.rpc.supervisor.getAllProcessInfo():
            self.rpc.supervisor.removeProcessGroup(process["group"])

    def reset(self) -> None:
        """v1 is in force and runs; nothing of earlier tests is left."""
        for program in ("app", "slow", "broken", "fading"):
            self.stop(program)
        self.point_at("v1")
        self.history.unlink(missing_ok=True)
        (self.root / "starts").write_text("")
        self.rpc.supervisor.startProcess("app")
        eventually(lambda: self.starts() == ["v1"])
        (self.root / "starts").write_text("")


def _configuration(root: Path, port: int) -> str:
    programs = {
        "app": f"command=/bin/sh {root}/current/run.sh\nstartsecs=0",
        "slow": "command=/bin/sleep 600\nstartsecs=1\nautostart=false",
        "broken": "command=/bin/false\nstartsecs=1\nstartretries=0\nautostart=false",
        "fading": "command=/bin/sleep 0.3\nstartsecs=1\nstartretries=0\nautostart=false",
        "missing": f"command={root}/nowhere\nautostart=false",
    }
    sections = "".join(
        f"[program:{name}]\n{lines}\nstdout_logfile=NONE\nstderr_logfile=NONE\nstopwaitsecs=1\n"
        for name, lines in programs.items()
    )
    return (
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={root}/pid\n"
        f"[inet_http_server]\nport=127.0.0.1:{port}\nusername=penny\npassword=s3cret\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n" + sections
    )


@pytest.fixture(scope="session")
def supervisord(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Supervised]:
    root, port = tmp_path_factory.mktemp("supervised"), free_port()
    for release in ("v1", "v2"):
        folder = root / "releases" / release
        folder.mkdir(parents=True)
        (folder / "run.sh").write_text(
            f"echo {release} >> {root}/starts\necho $$ >> {root}/pids\nexec sleep 600\n"
        )
    (root / "current").symlink_to(root / "releases" / "v1")
    (root / "supervisord.conf").write_text(_configuration(root, port))
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(root / "supervisord.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://penny:s3cret@127.0.0.1:{port}"
    with xmlrpc.client.ServerProxy(url) as rpc:
        supervised = Supervised(root, url, rpc)
        try:
            eventually(lambda: _answers(rpc), 15)
            yield supervised
            supervised.clear()
        finally:
            process.terminate()
            process.wait(15)


def _answers(rpc: Any) -> bool:
    try:
        return bool(rpc.supervisor.getState()["statename"] == "RUNNING")
    except OSError:
        return False


@pytest.fixture
def supervised(supervisord: Supervised) -> Supervised:
    supervisord.reset()
    return supervisord


@dataclass
class Endpoint:
    """An HTTP server that honours idempotency keys: POST /flags sets a flag, once a key."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    stubborn: bool = False
    answers: dict[str, bytes] = field(default_factory=dict)

    def status(self, method: str, path: str, key: str) -> int:
        if path.startswith("/status/"):
            return int(path.rsplit("/", 1)[1])
        if path == "/slow":
            self.release.wait(10)
            return 200
        if path == "/flag":
            return 200 if len(self.seen) > len(self.undone) else 404
        if method == "GET":
            return self._known(path)
        if path.startswith("/undo/"):
            if key not in self.undone and not self.stubborn:
                self.undone.append(key)
            return 200
        if key not in self.seen:
            self.seen.append(key)
        return 500 if path == "/flags/then-fail" else 201

    def _known(self, path: str) -> int:
        known = [key.replace("/", "%2F") for key in self.seen]
        gone = [key.removesuffix("/compensation").replace("/", "%2F") for key in self.undone]
        name = path.removeprefix("/flags/")
        return 200 if name in known and name not in gone else 404


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.requests.append((self.command, self.path, dict(self.headers), body))
            answer = state.answers.get(self.path, b"x" * (1024 * 1024 if self.path.endswith("/200") else 2))
            status = 200
            if self.path not in state.answers:
                status = state.status(self.command, self.path, self.headers.get("Idempotency-Key", ""))
            try:
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{state.url}/flags")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class GitRepo:
    """A repository with one committed file, `config.ini`, and a second commit that changed it."""

    path: Path

    def git(self, *argv: str) -> str:
        return self.git_with_input("", *argv)

    def git_with_input(self, text: str, *argv: str) -> str:
        people = {f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **dict.fromkeys(people, "dev@example.org"),
        }
        command = ["git", "-C", str(self.path), *argv]
        done = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, input=text
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def diff_after(self, change: Callable[[Path], None]) -> str:
        """The diff of a change, which is taken away again."""
        change(self.path)
        self.git("add", "--all", "--intent-to-add")
        text = self.git("diff") + "\n"
        self.git("reset", "--quiet", "--hard")
        self.git("clean", "--quiet", "-d", "--force")
        return text

    def commits(self) -> int:
        return int(self.git("rev-list", "--count", "HEAD"))


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    made = GitRepo(tmp_path / "repo")
    made.path.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    (made.path / "config.ini").write_text("[shop]\nworkers = 4\ntimeout = 30\n")
    (made.path / "notes.txt").write_text("notes\n")
    made.commit("Start")
    (made.path / "config.ini").write_text("[shop]\nworkers = 0\ntimeout = 30\n")
    made.commit("Break the shop")
    return made
