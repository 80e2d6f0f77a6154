"""What Traefik's HTTP provider asks: the configuration of all services, for whoever bears the token."""

import asyncio
import hmac
from collections.abc import Mapping

from penelope.adapters.routers.traefik_http import served
from penelope.domain.service import Service
from penelope.errors import BadSettings, InvalidCatalogue, Unauthenticated, Unavailable
from penelope.kit.canonical import Json

_FEWEST_CHARACTERS = 16


class TraefikProvider:
    """In Traefik, ``providers.http.endpoint`` is where this is served, and ``providers.http.headers.Authorization`` is
    ``Bearer TOKEN``. On any answer but 200 Traefik keeps what it has.
    """

    def __init__(self, services: Mapping[str, Service], token: str) -> None:
        """Raises BadSettings for a token that is too short to be secret: the answer names servers inside."""
        if len(token) < _FEWEST_CHARACTERS:
            raise BadSettings(f"the token for Traefik has fewer than {_FEWEST_CHARACTERS} characters")
        self._services = services
        self._expected = f"Bearer {token}".encode()

    async def document(self, authorization: bytes) -> Json:
        """The configuration, for the content of the header `Authorization`, empty where there is none.

        Raises Unauthenticated, and Unavailable where the configuration of any service cannot be read.
        """
        if not hmac.compare_digest(authorization, self._expected):
            raise Unauthenticated(
                "the token for Traefik is missing or wrong",
                hint="Set providers.http.headers.Authorization in Traefik to `Bearer TOKEN`: docs/routers.md.",
            )
        try:
            return await asyncio.to_thread(served, self._services)
        except InvalidCatalogue as error:
            # Nothing is wrong with what was asked.
            raise Unavailable(error.message, hint=error.advice) from error
