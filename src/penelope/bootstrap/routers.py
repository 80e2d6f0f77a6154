"""Puts together what routers ask Penelope for."""

from collections.abc import Mapping

from penelope.adapters.routers.traefik_serving import TraefikProvider
from penelope.domain.service import Service
from penelope.errors import BadSettings
from penelope.settings.routers import LONGEST_TOKEN, Routers, wrong_token


def provider_of(settings: Routers, services: Mapping[str, Service]) -> TraefikProvider | None:
    """What Traefik is told; None where no token is set. Raises BadSettings for a file without a token in it."""
    token = traefik_token_of(settings)
    return TraefikProvider(services, token) if token else None


def traefik_token_of(settings: Routers) -> str:
    """The token; empty where none is set. Raises BadSettings, without showing it."""
    if settings.traefik_token is not None:
        return settings.traefik_token.get_secret_value()
    file = settings.traefik_token_file
    if file is None:
        return ""
    try:
        with file.open(encoding="utf-8") as stream:
            token = stream.read(LONGEST_TOKEN + 2).strip()
    except (OSError, ValueError) as error:
        why = f"cannot be read: {type(error).__name__}"
    else:
        why = wrong_token(token)
        if not why:
            return token
    raise BadSettings(
        f"routers.traefik_token_file: {file} {why}",
        hint="Put a random token alone into the file, such as `openssl rand -hex 32` makes.",
    )
