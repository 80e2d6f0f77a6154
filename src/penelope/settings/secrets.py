"""Settings of the stores that credentials come from."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, Strict

from penelope.settings.section import Address, Location, Seconds, Section


class Secrets(Section):
    """Where references such as `secret://env/SECRET_DB` in the options of targets are looked up, see
    [secrets](../secrets.md).
    """

    environment_prefixes: Annotated[tuple[str, ...], Strict(False)] = ("SECRET_",)
    """What the names of environment variables begin with that `secret://env/NAME` may read."""

    folder: Location | None = None
    """The folder of `secret://file/NAME`; no file in it may be readable by others."""

    vault_address: Address | None = None
    """The URL of HashiCorp Vault, such as `https://vault.example.com:8200`; without it there is no `secret://vault/`."""

    vault_mount: str = Field(default="secret", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    """Where its key-value store, version 2, is mounted."""

    vault_namespace: str = Field(default="", pattern=r"^[A-Za-z0-9_/-]*$")
    """The namespace, in editions that have them."""

    vault_token: SecretStr | None = None
    """A token of Vault. Better leave it to `secrets.vault_token_file` or `secrets.vault_role`."""

    vault_token_file: Location | None = None
    """A file that holds a token of Vault, as its agent writes it; it is read anew for each look-up."""

    vault_role: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    """The role that is logged in with the pod's service account, where no token is set."""

    vault_login_mount: str = Field(default="kubernetes", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    """Where Vault's Kubernetes authentication is mounted."""

    vault_timeout_seconds: Seconds = 5.0
    """How long, in seconds, Vault may take to answer."""

    cache_seconds: float = Field(default=30.0, ge=0, le=60)
    """How long, in seconds, what Vault said is believed; at most a minute."""

    kubernetes_server: Address | None = None
    """The API server of `secret://kubernetes/<namespace>/<name>#<key>`; by default that of the cluster it runs in."""

    service_account: Location = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """The folder of the pod's service account: `token` and `ca.crt`."""
