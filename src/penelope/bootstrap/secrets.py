"""Puts the stores of credentials together."""

import os
from collections.abc import Mapping

from penelope.adapters.secrets.environment import EnvironmentSecrets
from penelope.adapters.secrets.files import FileSecrets
from penelope.adapters.secrets.kubernetes import ClusterAccess, KubernetesSecrets, server_of
from penelope.adapters.secrets.reference import Store
from penelope.adapters.secrets.resolve import StoredSecrets
from penelope.adapters.secrets.vault import VaultAccess, VaultSecrets
from penelope.rooms.act.ports import Secrets
from penelope.settings.secrets import Secrets as SecretsSettings


def secrets_of(settings: SecretsSettings, environment: Mapping[str, str] = os.environ) -> Secrets:
    """The stores that are set up. Asks none of them anything yet."""
    cluster = ClusterAccess(
        server=settings.kubernetes_server or server_of(environment),
        token_file=settings.service_account / "token",
        ca_file=settings.service_account / "ca.crt",
    )
    stores: dict[str, Store] = {
        "env": EnvironmentSecrets(environment, settings.environment_prefixes),
        "file": FileSecrets(settings.folder),
        "kubernetes": KubernetesSecrets(cluster),
    }
    if settings.vault_address is not None:
        stores["vault"] = VaultSecrets(_vault(settings, settings.vault_address))
    return StoredSecrets(stores)


def _vault(settings: SecretsSettings, address: str) -> VaultAccess:
    return VaultAccess(
        address=address,
        mount=settings.vault_mount,
        namespace=settings.vault_namespace,
        token=settings.vault_token.get_secret_value() if settings.vault_token else "",
        token_file=settings.vault_token_file,
        role=settings.vault_role,
        login_mount=settings.vault_login_mount,
        account_token_file=settings.service_account / "token",
        timeout_seconds=settings.vault_timeout_seconds,
        cache_seconds=settings.cache_seconds,
    )
