"""Secrets in HashiCorp Vault, key-value store version 2: ``secret://vault/<path>#<field>``."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from penelope.adapters.outbound import Answer, Call, ask
from penelope.adapters.secrets.reference import LARGEST_BYTES, Reference, missing
from penelope.errors import BadSettings, InputError, Unavailable
from penelope.kit.canonical import Json

LONGEST_CACHE_SECONDS = 60.0
_MOST_CACHED = 256
_LEASE_LEFT_SECONDS = 10.0
_BODY_BYTES = 16 * LARGEST_BYTES
_DENIED = 403

Answered = TypeVar("Answered", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAccess:
    """How Vault is reached. A token stands in `token` or `token_file`; otherwise `role` is logged in with the service
    account's token in `account_token_file` (Kubernetes authentication).
    """

    address: str
    mount: str = "secret"
    namespace: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    role: str = ""
    login_mount: str = "kubernetes"
    account_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    timeout_seconds: float = 5.0
    cache_seconds: float = 30.0


class _Login(msgspec.Struct, frozen=True):
    client_token: str
    lease_duration: float = 0


class _LoggedIn(msgspec.Struct, frozen=True):
    auth: _Login


class _Version(msgspec.Struct, frozen=True):
    data: dict[str, Json] | None


class _Found(msgspec.Struct, frozen=True):
    data: _Version


class VaultSecrets:
    """Reads a path once for all its fields, and again after `cache_seconds` (at most 60)."""

    def __init__(self, access: VaultAccess) -> None:
        self._access = access
        self._cache_seconds = min(access.cache_seconds, LONGEST_CACHE_SECONDS)
        self._cached: dict[tuple[str, int], tuple[float, Mapping[str, Json]]] = {}
        self._session: tuple[float, str] | None = None

    async def read(self, reference: Reference) -> str:
        if not reference.field:
            raise missing(reference, "names no field: write secret://vault/<path>#<field>")
        fields = await self._fields(reference)
        if reference.field not in fields:
            raise missing(reference, "names a field that is not there")
        value = fields[reference.field]
        if not isinstance(value, str):
            raise missing(reference, "is no text")
        return value

    async def _fields(self, reference: Reference) -> Mapping[str, Json]:
        key = reference.path, reference.version
        until, fields = self._cached.get(key, (0.0, {}))
        if time.monotonic() < until:
            return fields
        fields = await self._ask(reference)
        if len(self._cached) >= _MOST_CACHED:
            self._cached.clear()
        self._cached[key] = time.monotonic() + self._cache_seconds, fields
        return fields

    async def _ask(self, reference: Reference) -> Mapping[str, Json]:
        answer = await self._get(reference)
        if answer.status == _DENIED and self._session is not None:
            self._session = None  # a session can be revoked before its time: one more login tells
            answer = await self._get(reference)
        return _fields(answer, reference)

    async def _get(self, reference: Reference) -> Answer:
        version = f"?version={reference.version}" if reference.version else ""
        path = f"{self._access.mount}/data/{reference.path}{version}"
        return await self._send("GET", path, token=await self._token())

    async def _token(self) -> str:
        access = self._access
        if access.token:
            return access.token
        if access.token_file is not None:
            return await asyncio.to_thread(_content, access.token_file)
        if not access.role:
            raise BadSettings(
                "Vault needs a token or a role",
                hint="Set secrets.vault_token_file, or secrets.vault_role for Kubernetes authentication.",
            )
        until, token = self._session or (0.0, "")
        return token if time.monotonic() < until else await self._login()

    async def _login(self) -> str:
        access = self._access
        account = await asyncio.to_thread(_content, access.account_token_file)
        body = msgspec.json.encode({"role": access.role, "jwt": account})
        answer = await self._send("POST", f"auth/{access.login_mount}/login", content=body)
        if answer.status in {400, 401, _DENIED, 404}:
            raise BadSettings(
                f"Vault does not log in the role {access.role!r}: status {answer.status}",
                hint="Check secrets.vault_role, the login mount and what the role is bound to.",
            )
        login = _decoded(answer, _LoggedIn).auth
        # A lease of 0 lasts until it is revoked; it is renewed now and then all the same.
        lasts = login.lease_duration or 3600.0
        self._session = time.monotonic() + max(0.0, lasts - _LEASE_LEFT_SECONDS), login.client_token
        return login.client_token

    async def _send(self, method: str, path: str, *, token: str = "", content: bytes = b"") -> Answer:
        headers = {"X-Vault-Request": "true"}
        if token:
            headers["X-Vault-Token"] = token
        if self._access.namespace:
            headers["X-Vault-Namespace"] = self._access.namespace
        return await ask(
            Call(
                what="Vault",
                method=method,
                url=f"{self._access.address.rstrip('/')}/v1/{path}",
                headers=headers,
                content=content,
                timeout_seconds=self._access.timeout_seconds,
                body_limit_bytes=_BODY_BYTES,
            )
        )


def _fields(answer: Answer, reference: Reference) -> Mapping[str, Json]:
    if answer.status == 404:
        raise missing(reference, "names nothing in Vault, or a version that was deleted")
    if answer.status in {400, _DENIED}:
        raise _refused(answer.status, reference)
    found = _decoded(answer, _Found).data.data
    if found is None:
        raise missing(reference, "names a version that was deleted")
    return found


def _refused(status: int, reference: Reference) -> InputError:
    return BadSettings(
        f"Vault refuses {reference.text}: status {status}",
        hint="Check that the token is still good and that its policy has `read` on the path, with /data/ in it.",
    )


def _decoded(answer: Answer, kind: type[Answered]) -> Answered:
    if answer.status != 200:
        sealed = ": it is sealed or in standby" if answer.status in {429, 472, 473, 503} else ""
        raise Unavailable(f"Vault answers with status {answer.status}{sealed}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (
        ValueError,
        RecursionError,
    ):  # a text that is no UTF-8 and what nests too deeply have errors of their own
        raise Unavailable("Vault's answer cannot be read") from None


def _content(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the token for Vault cannot be read: {type(error).__name__}") from None
    if not token or not token.isprintable() or " " in token:
        raise BadSettings("the file with the token for Vault does not hold one word")
    return token
