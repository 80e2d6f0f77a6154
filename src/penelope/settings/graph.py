"""Settings of the graph of things."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from penelope.settings.section import Location, Seconds, Section

_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def _bolt_address(text: str) -> str:
    # No message repeats the text: it may hold a password.
    try:
        parts = urlsplit(text)
        sound = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(
            f"should be an address such as neo4j+s://host:7687; it may begin with {', '.join(_SCHEMES)}"
        )
    if "@" in parts.netloc:
        raise ValueError("should hold no user name and no password")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("should hold nothing behind host and port")
    return text


class Graph(Section):
    """How services, teams, data and documents hang together, see [the graph](../graph.md)."""

    kind: Literal["embedded", "neo4j"] = "embedded"
    """Where the graph is kept: `embedded` in files of `graph.folder`, `neo4j` on a server that speaks Bolt."""

    source: Location | None = None
    """A file of nodes and edges that were drawn by hand."""

    folder: Location = Path("var/graph")
    """The folder of the embedded graph. It belongs to Penelope alone; several processes of one machine may share it."""

    url: Annotated[str, AfterValidator(_bolt_address)] | None = None
    """The address of the server, such as `neo4j+s://graph.example.com:7687`; needed where `graph.kind` is `neo4j`."""

    user: str = Field(default="neo4j", min_length=1, max_length=200)
    """The user of the server."""

    password_file: Location | None = None
    """A file that holds that user's password, and that no one else may read; needed where `graph.kind` is `neo4j`."""

    database: str = Field(default="neo4j", pattern=r"^[A-Za-z][A-Za-z0-9.-]{0,62}$")
    """The database on the server. Nothing else should be kept in it."""

    timeout_seconds: Seconds = 2.0
    """How long, in seconds, an answer may take; then the query is stopped."""

    @field_validator("password_file")
    @classmethod
    def _server_is_named(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("kind") == "neo4j" and (file is None or info.data.get("url") is None):
            raise ValueError("should be set, and graph.url too, where graph.kind is neo4j")
        return file
