"""Settings of documents and the search in them."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from penelope.settings.section import Count, Seconds, Section, Share


class Documents(Section):
    """Documents that are indexed, and how passages of them are found."""

    classification: Literal["public", "internal", "confidential", "restricted", "pii"] = "internal"
    """What a document is classified as that does not say it itself."""

    max_bytes: Count = 2 * 1024 * 1024
    """The largest file that is indexed, in bytes; larger ones are left out, and named."""

    max_files: Count = 100_000
    """The most files that one run looks at; it stops with an error before it forgets anything where there are more."""

    max_passages: Count = 2000
    """The most passages of one document; one that has more is left out, and named."""

    passage_tokens: int = Field(default=200, ge=32, le=224)
    """The longest passage, in tokens of the embedder, which reads 256 together with title and heading."""

    overlap_tokens: int = Field(default=32, ge=0, le=64)
    """How many tokens before the end of a passage the next one begins; less than half of `documents.passage_tokens`."""

    keywords: Share = 0.5
    """The weight, 0 to 1, of keywords beside meaning when passages are ranked."""

    patience_seconds: Seconds = 5
    """How long, in seconds, a search may take."""

    @field_validator("overlap_tokens")
    @classmethod
    def _overlap_is_small(cls, overlap: int, info: ValidationInfo) -> int:
        tokens = info.data.get("passage_tokens", 200)
        if overlap * 2 >= tokens:
            raise ValueError(f"should be less than half of documents.passage_tokens, which is {tokens}")
        return overlap
