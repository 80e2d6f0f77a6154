"""Settings of the semantic layer."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, Strict, field_validator, model_validator

from penelope.settings.section import Address, Location, Seconds, Section

_LONGEST_CUBE_SECONDS = 600


def _only_a_path(text: str) -> str:
    parts = urlsplit(text)
    if parts.query or parts.fragment or any(letter.isspace() for letter in text):
        raise ValueError("should have nothing behind host, port and path")
    return text


class Semantic(Section):
    """Governed measures and dimensions, see [the semantic layer](../semantic-layer.md)."""

    kind: Literal["embedded", "cube"] = "embedded"
    """Who answers: `embedded` this process, over DuckDB; `cube` a [Cube](../semantic-layer-cube.md) server, which has the models."""

    models: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Files of data models in Cube's YAML, and folders of them. Where none are named, a server knows of no measures, and the
    commands of `penelope context` ask the shipped example."""

    database: Location = Path("var/shop.duckdb")
    """What the models are about: a DuckDB file, or a folder of Parquet files. It is only read; where `semantic.models` is
    empty, the example's warehouse is written there first."""

    timeout_seconds: Seconds = 10
    """How long, in seconds, a question may take; with Cube at most 600, however often it says that it needs longer."""

    memory_mib: Annotated[int, Field(ge=64)] = 512
    """The most memory of all questions together, in MiB. Nothing is spilled to a disk."""

    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """How many questions are answered at a time, and how many processors each may use."""

    mask_key: SecretStr | None = None
    """A secret of at least 16 characters that values masked by hash are hashed with. Without it
    hashes are others in each process. Whoever knows it can find out a value by trying; changing it changes all hashes."""

    url: Annotated[Address, AfterValidator(_only_a_path)] | None = None
    """Where Cube is, such as `https://cube.example.com`; needed where `semantic.kind` is `cube`. It has a path only where
    `CUBEJS_BASE_PATH` is another than `/cubejs-api`."""

    api_secret: SecretStr | None = None
    """Cube's `CUBEJS_API_SECRET`, of at least 16 characters: each request bears a token signed with it, good for two minutes."""

    token_file: Location | None = None
    """A file that holds a token for Cube, in place of the secret; it is read anew for each request."""

    ca_file: Location | None = None
    """A file with the certificates that Cube's is held against; by default the machine's authorities."""

    @field_validator("mask_key", "api_secret")
    @classmethod
    def _key_is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key) < 16:
            raise ValueError("should have at least 16 characters")
        return key

    @model_validator(mode="after")
    def _cube_is_whole(self) -> Self:
        if self.kind == "embedded":
            return self
        if self.url is None:
            raise ValueError("semantic.kind is cube, so semantic.url should be set")
        if self.api_secret is not None and self.token_file is not None:
            raise ValueError("semantic.api_secret and semantic.token_file should not both be set")
        if self.models:
            raise ValueError("semantic.models are for the embedded layer: give them to the Cube server")
        if self.timeout_seconds > _LONGEST_CUBE_SECONDS:
            raise ValueError(f"semantic.timeout_seconds should not exceed {_LONGEST_CUBE_SECONDS} with Cube")
        return self
