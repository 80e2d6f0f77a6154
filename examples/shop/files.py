"""The files of a World: what supervisord and Traefik read, and the configuration's git repository."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from penelope.testing.own_certificate import traefik_section

SHOP_TOML = """\
currency = "EUR"

# In cents.
[prices]
loom = 24000
shuttle = 1850
thread = 420

[flags]
coupons = false
"""

_CORRUPT = """\
<<<<<<< HEAD
loom = 24000
=======
loom = 25500
>>>>>>> spring-prices
"""

_SUPERVISORD = """\
[supervisord]
logfile=supervisord.log
pidfile=supervisord.pid

[inet_http_server]
port=127.0.0.1:{port}
username={user}
password={password}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# RUNNING after a second of life: what fails at its start shows as such, and an instance answers by then.
_PROGRAM = """
[program:{name}]
command={command}
autorestart=true
startsecs=1
stopwaitsecs=2
redirect_stderr=true
stdout_logfile={name}.log
"""


def corrupted(text: str) -> str:
    """What a careless merge makes of shop.toml."""
    return text.replace("loom = 24000\n", _CORRUPT)


def with_coupons(text: str) -> str:
    return text.replace("coupons = false", "coupons = true")


def git(repository: Path, *arguments: str, author: str = "The shop") -> str:
    """Runs git as `author`, deaf to the user's own settings and hooks; gives what it printed."""
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": author,
        "GIT_AUTHOR_EMAIL": author.lower().replace(" ", ".") + "@shop.example",
    }
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def make_repository(repository: Path, name: str, text: str) -> None:
    """A git repository with one committed file, and a local identity so that anyone may commit."""
    repository.mkdir()
    git(repository, "init", "--quiet", "--initial-branch=main")
    git(repository, "config", "user.name", "The shop")
    git(repository, "config", "user.email", "the.shop@shop.example")
    git(repository, "config", "commit.gpgsign", "false")
    commit(repository, name, text, message="Open the shop", author="The shop")


def commit(repository: Path, name: str, text: str, *, message: str, author: str) -> None:
    (repository / name).write_text(text, encoding="utf-8")
    git(repository, "add", name)
    git(repository, "commit", "--quiet", "--message", message, author=author)


def write_traefik(
    static_file: Path, dynamic_file: Path, web: int, api: int, instances: Mapping[str, str]
) -> None:
    """Traefik's static file, and the dynamic one with a weighted service over the instances' URLs."""
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "WARN", "filePath": str(static_file.with_name("traefik.log"))},
        "entryPoints": {
            "web": {
                "address": f"127.0.0.1:{web}",
                "transport": {"lifeCycle": {"graceTimeOut": "1s"}},
            },
            "traefik": {"address": f"127.0.0.1:{api}"},
        },
        "api": {"insecure": True},
        "ping": {},
        "metrics": {"prometheus": {"addRoutersLabels": True}},
        # The default of 2 s would make every weight change that slow.
        "providers": {
            "providersThrottleDuration": "10ms",
            "file": {"filename": str(dynamic_file), "watch": True},
        },
    }
    share = 100 // len(instances)
    arms = {f"shop-{name}": {"loadBalancer": {"servers": [{"url": url}]}} for name, url in instances.items()}
    weighted = {"weighted": {"services": [{"name": arm, "weight": share} for arm in arms]}}
    router = {"entryPoints": ["web"], "rule": "PathPrefix(`/`) && !PathPrefix(`/admin`)", "service": "shop"}
    dynamic = {
        "http": {"routers": {"shop": router}, "services": {"shop": weighted, **arms}},
        "tls": traefik_section(dynamic_file.parent),
    }
    # JSON is YAML.
    static_file.write_text(json.dumps(static, indent=2), encoding="utf-8")
    dynamic_file.write_text(json.dumps(dynamic, indent=2), encoding="utf-8")


def write_supervisor(
    file: Path, *, port: int, user: str, password: str, programs: Mapping[str, list[str]]
) -> None:
    """supervisord.conf: the programs, and XML-RPC on a local port behind a password; it runs in the file's folder."""
    text = _SUPERVISORD.format(port=port, user=user, password=password)
    for name, command in programs.items():
        text += _PROGRAM.format(name=name, command=shlex.join(command).replace("%", "%%"))
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
