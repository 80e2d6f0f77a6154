"""Opens the graph that the settings name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penelope.adapters.secrets.files import FileSecrets
from penelope.adapters.secrets.reference import parse
from penelope.errors import BadSettings

if TYPE_CHECKING:
    from penelope.adapters.graph.ladybug import LadybugGraph
    from penelope.adapters.graph.neo4j import Neo4jGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class BoltServer:
    """A server that speaks Bolt, and who we are to it. The file of the password is read when the graph is opened."""

    url: str
    user: str
    password_file: Path
    database: str


async def open_graph(
    folder: Path, server: BoltServer | None, timeout_seconds: float
) -> "LadybugGraph | Neo4jGraph":
    """The graph on a server, or the embedded one in a folder where no server is named. It must be closed.

    Raises BadSettings where the driver is not installed or the password cannot be used, Unavailable.
    """
    if server is None:
        from penelope.adapters.graph.ladybug import LadybugGraph  # noqa: PLC0415 - only who keeps it here needs the store

        return LadybugGraph(folder, timeout_seconds=timeout_seconds)
    try:
        from penelope.adapters.graph.neo4j import Neo4jGraph  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise BadSettings(
            "the driver of Neo4j is not installed", hint="pip install 'penelope-ops[neo4j]'"
        ) from error
    file = server.password_file
    password = await FileSecrets(file.parent).read(parse(f"secret://file/{file.name}"))
    return Neo4jGraph(
        server.url, server.user, password, database=server.database, timeout_seconds=timeout_seconds
    )
