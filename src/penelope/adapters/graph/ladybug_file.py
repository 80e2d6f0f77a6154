"""Writes a graph into a file of the embedded store."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ladybug

from penelope.adapters.graph.records import NODE_FIELDS, edge_records, node_records
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import EDGE_TYPES
from penelope.errors import BadSettings, Unavailable
from penelope.kit.canonical import Json

GENERATION = "embedded"
"""A file holds one graph."""

BUFFER_BYTES = 256 * 1024 * 1024
"""The most memory that the pages of a graph and the queries on it take together; what would need more is refused."""

LARGEST_BYTES = 4 * 1024**3
THREADS = 2

# Quoted as text in a statement, and a pattern of files to the store.
_UNFIT = re.compile(r"""['"\\*?\[\]{}\x00-\x1f]""")
_EDGE_FIELDS = ("type", "start", "properties")
_FORM = """(header=false, auto_detect=false, delim=',', quote='"', escape='"', parallel=false)"""


def opened(file: Path, *, read_only: bool) -> Any:
    """The database in a file. Raises RuntimeError as the store does."""
    return ladybug.Database(
        file,
        buffer_pool_size=BUFFER_BYTES,
        max_num_threads=THREADS,
        max_db_size=LARGEST_BYTES,
        read_only=read_only,
    )


def write(file: Path, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
    """A new file with the graph, whole and closed. Other files beside it, of the same name with more behind it, stay
    where it fails. Raises BadSettings for a folder whose name the store cannot take, Unavailable.
    """
    if _UNFIT.search(str(file.resolve())):
        raise BadSettings(
            "the path of graph.folder holds quotes, brackets, stars or backslashes",
            hint="Give graph.folder a plainer path.",
        )
    try:
        database = opened(file, read_only=False)
        try:
            _fill(ladybug.Connection(database), file, nodes, edges)
        finally:
            database.close()
    except (RuntimeError, OSError) as error:
        raise Unavailable("the embedded graph cannot be written") from error


def _fill(connection: Any, file: Path, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in NODE_FIELDS.items())
    connection.execute(f"CREATE NODE TABLE Thing({columns}, PRIMARY KEY (id))")
    kept = edge_records(edges)
    for kind in sorted(EDGE_TYPES):
        connection.execute(
            f"CREATE REL TABLE {kind}(FROM Thing TO Thing, type STRING, start STRING, properties STRING)"
        )
    _copy(connection, "Thing", file, (record.values() for record in node_records(nodes, GENERATION)))
    for kind, records in sorted(kept.items()):
        _copy(connection, kind, file, map(_edge_row, records))
    _check_counts(connection, len(nodes), sum(map(len, kept.values())))
    connection.execute("CHECKPOINT")
    connection.close()


def _edge_row(record: Mapping[str, Json]) -> list[Json]:
    return [record["start"], record["end"], *(record[name] for name in _EDGE_FIELDS)]


def _copy(connection: Any, table: str, file: Path, rows: Iterable[Iterable[Json]]) -> None:
    aside = file.with_name(f"{file.name}.{table}.csv")
    with aside.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    if aside.stat().st_size:
        connection.execute(f"COPY {table} FROM '{aside.resolve()}' {_FORM}")
    aside.unlink()


def _check_counts(connection: Any, nodes: int, edges: int) -> None:
    """A file that lacks something is never published, whatever the store thought of the rows."""
    there = [
        connection.execute(text).get_next()[0]
        for text in ("MATCH (n:Thing) RETURN count(*)", "MATCH (:Thing)-[r]->(:Thing) RETURN count(*)")
    ]
    if there != [nodes, edges]:
        raise Unavailable(f"the embedded graph kept {there} of {[nodes, edges]} nodes and edges")
