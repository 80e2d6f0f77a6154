"""Where secrets come from: the environment, files, Vault (a double of its API) and Kubernetes (a double, too)."""

import asyncio
import json
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penelope.bootstrap.secrets import secrets_of
from penelope.errors import BadSettings, DependencyError, Unavailable
from penelope.settings.secrets import Secrets as SecretsSettings
from penelope.testing.vault import FakeVault, serving

UNREADABLE = (
    b"",
    b"no json",
    b'{"data": {"data": {"a": "\xff"}}}',
    b'{"data": {"data": {"a": ' + b"[" * 100_000,
)
"""What a proxy in between, or a broken server, may answer with."""


def read(reference: str, environment: dict[str, str] | None = None, **settings: Any) -> str:
    secrets = secrets_of(SecretsSettings(**settings), environment or {})
    return asyncio.run(secrets.read(reference))


# --- the form -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "secret://",
        "secret://env",
        "secret://env/",
        "secret://env//X",
        "secret://env/../X",
        "secret://file/a/../../etc/passwd",
        "secret://file/./a",
        "secret://file/%2e%2e/a",
        "secret://vault/a?version=0#f",
        "secret://vault/a?version=1&x=2#f",
        "secret://vault/a#f#g",
        "secret://vault/a b#f",
        "secret://vault/a\n#f",
        "secret://env/SECRET_A\n",
        "SECRET://env/SECRET_A",
        "secret://nowhere/SECRET_A",
        "secret://env/SECRET_" + "A" * 600,
    ],
)
def test_what_has_not_the_form_is_refused(reference: str) -> None:
    with pytest.raises(BadSettings):
        read(reference, {"SECRET_A": "a value"})


# --- the environment ------------------------------------------------------------------------------------------


def test_only_variables_with_the_prefix_are_read() -> None:
    environment = {"SECRET_DB": "hunter22", "PATH": "/usr/bin", "AWS_SECRET": "other"}
    assert read("secret://env/SECRET_DB", environment) == "hunter22"
    for reference in ("secret://env/PATH", "secret://env/AWS_SECRET", "secret://env/SECRET_DB#x"):
        with pytest.raises(BadSettings) as caught:
            read(reference, environment)
        assert "other" not in caught.value.message + caught.value.advice
    with pytest.raises(BadSettings, match="not set"):
        read("secret://env/SECRET_OTHER", environment)
    with pytest.raises(BadSettings, match="not allowed"):
        read("secret://env/SECRET_DB", environment, environment_prefixes=())


@pytest.mark.parametrize("value", ["", "abc", "x" * 70_000, "null\0byte"])
def test_what_cannot_be_redacted_or_carried_is_no_secret(value: str) -> None:
    with pytest.raises(BadSettings) as caught:
        read("secret://env/SECRET_DB", {"SECRET_DB": value})
    assert not value or value not in caught.value.message


# --- files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    made.mkdir()
    (tmp_path / "outside").write_text("outside-value")
    (tmp_path / "outside").chmod(0o600)
    return made


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def test_a_file_is_read_without_its_last_line_break(folder: Path) -> None:
    put(folder / "db" / "password", b"hunter22\n")
    assert read("secret://file/db/password", folder=folder) == "hunter22"
    put(folder / "key", b"-----BEGIN\nabc\n", 0o440)
    assert read("secret://file/key", folder=folder) == "-----BEGIN\nabc"


def test_a_mounted_volume_of_links_is_read(folder: Path) -> None:
    """As the kubelet lays a secret out."""
    put(folder / "..2026" / "token", b"mounted-token", 0o400)
    (folder / "..data").symlink_to("..2026")
    (folder / "token").symlink_to("..data/token")
    assert read("secret://file/token", folder=folder) == "mounted-token"


def test_no_link_leads_out_of_the_folder(folder: Path) -> None:
    (folder / "link").symlink_to("../outside")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    for name in ("link", "up/outside", "loop", "missing", "link/below"):
        with pytest.raises((BadSettings, Unavailable)) as caught:
            read(f"secret://file/{name}", folder=folder)
        assert "outside-value" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602])
def test_a_file_that_is_open_to_others_is_refused(folder: Path, mode: int) -> None:
    put(folder / "db", b"hunter22", mode)
    with pytest.raises(BadSettings, match=f"{mode:04o}") as caught:
        read("secret://file/db", folder=folder)
    assert "chmod 600" in caught.value.advice


def test_what_is_no_text_in_a_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe", 0o600)
    put(folder / "large", b"x" * 70_000)
    put(folder / "binary", b"\xff\xfe\x00\x01")
    (folder / "directory").mkdir()
    for name in ("pipe", "large", "binary", "directory"):
        with pytest.raises((BadSettings, Unavailable)):
            read(f"secret://file/{name}", folder=folder)
    with pytest.raises(BadSettings, match="no folder"):
        read("secret://file/large")


# --- Vault ----------------------------------------------------------------------------------------------------


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with serving(FakeVault(policies={"root-token": "", "team-token": "team/"})) as served:
        served.put("team/db", password="first-value")
        served.put("team/db", password="hunter22", port=5432)
        yield served


def test_vault_gives_the_newest_version_or_the_one_that_is_named(vault: FakeVault) -> None:
    access = {"vault_address": vault.url, "vault_token": "team-token"}
    assert read("secret://vault/team/db#password", **access) == "hunter22"
    assert read("secret://vault/team/db?version=1#password", **access) == "first-value"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("team/db", "names no field"),
        ("team/db#user", "not there"),
        ("team/db#port", "no text"),
        ("team/none#password", "names nothing"),
        ("team/db?version=3#password", "names nothing"),
        ("other/db#password", "403"),
    ],
)
def test_what_vault_does_not_have_is_said_precisely(vault: FakeVault, path: str, why: str) -> None:
    with pytest.raises(BadSettings, match=why) as caught:
        read(f"secret://vault/{path}", vault_address=vault.url, vault_token="team-token")
    shown = caught.value.message + caught.value.advice
    assert not any(value in shown for value in ("hunter22", "team-token", "first-value"))


@pytest.mark.parametrize("destroy", [True, False])
def test_a_deleted_version_is_gone(vault: FakeVault, *, destroy: bool) -> None:
    vault.delete("team/db", 2, destroy=destroy)
    with pytest.raises(BadSettings, match="deleted"):
        read("secret://vault/team/db#password", vault_address=vault.url, vault_token="root-token")


def test_a_sealed_vault_is_unavailable_and_so_is_none(vault: FakeVault) -> None:
    vault.sealed = True
    with pytest.raises(Unavailable, match="sealed"):
        read("secret://vault/team/db#password", vault_address=vault.url, vault_token="root-token")
    with pytest.raises(DependencyError):
        read("secret://vault/team/db#password", vault_address="http://127.0.0.1:9", vault_token="root-token")
    with pytest.raises(BadSettings, match="no store"):
        read("secret://vault/team/db#password")


def test_vault_is_asked_once_for_a_while(vault: FakeVault) -> None:
    def asked(cache_seconds: float) -> int:
        vault.requests.clear()
        settings = SecretsSettings(
            vault_address=vault.url, vault_token="root-token", cache_seconds=cache_seconds
        )
        secrets = secrets_of(settings, {})
        for _ in range(3):
            assert asyncio.run(secrets.read("secret://vault/team/db#password")) == "hunter22"
        return len(vault.requests)

    assert asked(30.0) == 1
    assert asked(0.0) == 3
    with pytest.raises(ValueError, match="60"):
        SecretsSettings(cache_seconds=61)


def test_a_token_file_is_read_anew(vault: FakeVault, tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = SecretsSettings(vault_address=vault.url, vault_token_file=file, cache_seconds=0)
    secrets = secrets_of(settings, {})
    with pytest.raises(Unavailable):
        asyncio.run(secrets.read("secret://vault/team/db#password"))
    for token, works in (("bad", False), ("team-token\n", True), ("two words", False), ("", False)):
        file.write_text(token)
        if works:
            assert asyncio.run(secrets.read("secret://vault/team/db#password")) == "hunter22"
        else:
            with pytest.raises(BadSettings):
                asyncio.run(secrets.read("secret://vault/team/db#password"))


def test_a_role_logs_in_with_the_service_account_and_again_when_its_lease_is_over(
    vault: FakeVault, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("account-token")
    vault.roles["penelope"] = "account-token"
    access = {"vault_address": vault.url, "vault_role": "penelope", "service_account": tmp_path}
    settings = SecretsSettings(**access, cache_seconds=0)
    secrets = secrets_of(settings, {})

    def once() -> int:
        vault.requests.clear()
        assert asyncio.run(secrets.read("secret://vault/team/db#password")) == "hunter22"
        return sum("/login" in request for request in vault.requests)

    assert [once(), once()] == [1, 0]
    vault.revoke_all()
    assert once() == 1
    vault.lease_seconds = 5.0  # shorter than what is held in reserve
    vault.revoke_all()
    assert [once(), once()] == [1, 1]
    (tmp_path / "token").write_text("another-account")
    vault.revoke_all()
    with pytest.raises(BadSettings, match="log in"):
        asyncio.run(secrets.read("secret://vault/team/db#password"))
    with pytest.raises(BadSettings, match="token or a role"):
        read("secret://vault/team/db#password", vault_address=vault.url)


@pytest.mark.parametrize("body", UNREADABLE, ids=["nothing", "text", "no UTF-8", "deep"])
def test_an_answer_of_vault_that_cannot_be_read_is_unavailable(body: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with pytest.raises(Unavailable, match="cannot be read"):
                read("secret://vault/team/db#password", vault_address=url, vault_token="t")
        finally:
            server.shutdown()
            thread.join()


# --- Kubernetes -----------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A server of one resource, `shop/db`; what it answers can be changed."""
    state: dict[str, Any] = {"status": 200, "data": {"password": b64encode(b"hunter22").decode()}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers["Authorization"] == "Bearer pod-token"
            here = self.path == "/api/v1/namespaces/shop/secrets/db"
            status = state["status"] if good and here else 404 if good else 401
            body = json.dumps({"kind": "Secret", "apiVersion": "v1", "data": state["data"]}).encode()
            body = state.get("body", body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (tmp_path / "token").write_text("pod-token")
    try:
        yield (
            state,
            {"kubernetes_server": f"http://127.0.0.1:{server.server_port}", "service_account": tmp_path},
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_kubernetes_secret_is_read(cluster: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert read("secret://kubernetes/shop/db#password", **cluster[1]) == "hunter22"


@pytest.mark.parametrize(
    ("reference", "change"),
    [
        ("shop/db", {}),
        ("shop#password", {}),
        ("shop/db/more#password", {}),
        ("shop/other#password", {}),
        ("shop/db#user", {}),
        ("shop/db#password", {"status": 403}),
        ("shop/db#password", {"data": {"password": "!!"}}),
        ("shop/db#password", {"data": {"password": "hunter22é"}}),
        ("shop/db#password", {"data": {"password": b64encode(b"\xff\xfe\xfd\xfc").decode()}}),
        ("shop/db#password", {"data": None}),
    ],
)
def test_what_the_cluster_does_not_have_or_forbids_is_refused(
    cluster: tuple[dict[str, Any], dict[str, Any]], reference: str, change: dict[str, Any]
) -> None:
    cluster[0].update(change)
    with pytest.raises(BadSettings) as caught:
        read(f"secret://kubernetes/{reference}", **cluster[1])
    assert "pod-token" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"status": 500}, {"data": "text"}, *({"body": body} for body in UNREADABLE)]
)
def test_a_cluster_that_does_not_answer_well_is_unavailable(
    cluster: tuple[dict[str, Any], dict[str, Any]], change: dict[str, Any]
) -> None:
    cluster[0].update(change)
    with pytest.raises(Unavailable):
        read("secret://kubernetes/shop/db#password", **cluster[1])


def test_outside_of_a_cluster_there_are_none() -> None:
    with pytest.raises(BadSettings, match="outside of a cluster"):
        read("secret://kubernetes/shop/db#password")
