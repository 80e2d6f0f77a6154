"""Secrets of a Kubernetes cluster: ``secret://kubernetes/<namespace>/<name>#<key>``."""

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penelope.adapters.outbound import Answer, Call, ask
from penelope.adapters.secrets.reference import LARGEST_BYTES, Reference, missing
from penelope.errors import BadSettings, Unavailable

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_BODY_BYTES = 2 * 1024 * 1024
"""A Secret holds at most 1 MiB, and base64 adds a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """How the API server is reached: by the service account that is mounted into every pod."""

    server: str
    token_file: Path = _ACCOUNT / "token"
    ca_file: Path | None = _ACCOUNT / "ca.crt"
    timeout_seconds: float = 5.0


def server_of(environment: Mapping[str, str]) -> str:
    """The API server as pods are told it; empty outside of a cluster."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class _Secret(msgspec.Struct, frozen=True):
    data: dict[str, str] | None = None


class KubernetesSecrets:
    """Needs the right to `get` the secrets that are named, and nothing else."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access

    async def read(self, reference: Reference) -> str:
        namespace, _, name = reference.path.partition("/")
        if not name or "/" in name or not reference.field or reference.version:
            raise missing(reference, "has not the form secret://kubernetes/<namespace>/<name>#<key>")
        if not self._access.server:
            raise missing(reference, "cannot be read outside of a cluster (secrets.kubernetes_server)")
        return _value(await self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}"), reference)

    async def _get(self, path: str) -> Answer:
        access = self._access
        token = await asyncio.to_thread(_token, access.token_file)  # the kubelet renews it every hour
        secure = access.server.startswith("https://")
        return await ask(
            Call(
                what="the Kubernetes API server",
                method="GET",
                url=access.server.rstrip("/") + path,
                headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
                timeout_seconds=access.timeout_seconds,
                body_limit_bytes=_BODY_BYTES,
                ca=str(access.ca_file) if secure and access.ca_file else "",
            )
        )


def _value(answer: Answer, reference: Reference) -> str:
    if answer.status == 404:
        raise missing(reference, "names a secret that is not there")
    if answer.status in {401, 403}:
        raise BadSettings(
            f"the Kubernetes API server refuses {reference.text}: status {answer.status}",
            hint="The service account needs a Role with the verb get on that secret.",
        )
    if answer.status != 200:
        raise Unavailable(f"the Kubernetes API server answers with status {answer.status}")
    try:
        data = msgspec.json.decode(answer.body, type=_Secret).data or {}
    except (
        ValueError,
        RecursionError,
    ):  # a text that is no UTF-8 and what nests too deeply have errors of their own
        raise Unavailable("the Kubernetes API server's answer cannot be read") from None
    if reference.field not in data:
        raise missing(reference, "names a key that is not there")
    try:
        content = b64decode(data[reference.field], validate=True)
        if len(content) > LARGEST_BYTES:
            raise missing(reference, "is larger than a secret can be")
        return content.decode("utf-8")
    except ValueError:  # what is no base64, and what is no UTF-8
        raise missing(reference, "is no text in UTF-8") from None


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"the service account's token cannot be read: {type(error).__name__}") from None
    if not token or not token.isprintable() or " " in token:
        raise BadSettings("the file of the service account's token does not hold one word")
    return token
