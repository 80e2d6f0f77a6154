"""Settings of routers that ask Penelope how traffic is to be split."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from penelope.settings.section import Location, Section

SHORTEST_TOKEN = 16
LONGEST_TOKEN = 1024


def wrong_token(token: str) -> str:
    """Why a text cannot be a token that stands in a header; empty for one that can. The text is not repeated."""
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        return f"should have {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters"
    if not token.isascii() or not token.isprintable() or " " in token:
        return "should hold only ASCII characters that can be seen, and no spaces"
    return ""


class Routers(Section):
    """Routers that ask Penelope for their configuration, see [routers](../routers.md)."""

    traefik_token: SecretStr | None = Field(default=None, repr=False)
    """What Traefik's HTTP provider must bear to be given its configuration at `/providers/traefik`: at least 16
    characters. Better leave it to `routers.traefik_token_file`; with neither of the two nothing is served there."""

    traefik_token_file: Location | None = None
    """A file that holds that token; it is read when the server starts."""

    @field_validator("traefik_token")
    @classmethod
    def _token_is_a_secret(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and (why := wrong_token(token.get_secret_value())):
            raise ValueError(why)
        return token

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.traefik_token is not None and self.traefik_token_file is not None:
            raise ValueError("takes traefik_token or traefik_token_file, not both")
        return self

    @property
    def serve_traefik(self) -> bool:
        """Whether a token is set."""
        return self.traefik_token is not None or self.traefik_token_file is not None
