"""Settings of the semantic layer."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, Strict, field_validator

from penelope.settings.section import Location, Seconds, Section


class Semantic(Section):
    """Governed measures and dimensions, see [the semantic layer](../semantic-layer.md)."""

    models: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Files of data models in Cube's YAML, and folders of them. Where none are named, a server knows of no measures, and the
    commands of `penelope context` ask the shipped example."""

    database: Location = Path("var/shop.duckdb")
    """What the models are about: a DuckDB file, or a folder of Parquet files. It is only read; where `semantic.models` is
    empty, the example's warehouse is written there first."""

    timeout_seconds: Seconds = 10
    """How long, in seconds, a question may take."""

    memory_mib: Annotated[int, Field(ge=64)] = 512
    """The most memory of all questions together, in MiB. Nothing is spilled to a disk."""

    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """How many questions are answered at a time, and how many processors each may use."""

    mask_key: SecretStr | None = None
    """A secret of at least 16 characters that values masked by hash are hashed with. Without it a query
    with such a mask is refused. Whoever knows it can find out a value by trying; changing it changes all hashes."""

    @field_validator("mask_key")
    @classmethod
    def _key_is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key) < 16:
            raise ValueError("should have at least 16 characters")
        return key
