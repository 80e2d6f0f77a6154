"""SQL of a data model with its references: ``{CUBE}``, ``{member}``, ``{cube.member}``, ``{cube.time.month}``."""

import logging
import re
from dataclasses import dataclass

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from penelope.adapters.semantic.columns import WHOLE_ROW

logging.getLogger("sqlglot").setLevel(logging.ERROR)

DIALECT = "duckdb"
CURRENT = "CUBE"
_MARK = "penelope_reference_"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = re.compile(r"\\(?P<escaped>[{}`])|\$?\{(?P<reference>[^{}]*)\}|(?P<stray>[{}])")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,15}")
_CONTEXT = frozenset(
    {"FILTER_PARAMS", "FILTER_GROUP", "SECURITY_CONTEXT", "USER_CONTEXT", "COMPILE_CONTEXT", "SQL_UTILS"}
)
_MOST_REFERENCES = 200


@dataclass(frozen=True, slots=True)
class Reference:
    """A path as it is written, such as ``("orders", "status")``."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return "{" + ".".join(self.path) + "}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Text and references in turn. `columns` are those of tables that it names by itself: the name that stands before
    the column (a reference to a cube, or nothing) and the column; the column is ``*`` where a whole row is meant.
    """

    pieces: tuple[str | Reference, ...]
    columns: frozenset[tuple[Reference | None, str]] = frozenset()

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Reference))

    @property
    def plain(self) -> str | None:
        """The name of the column that it is nothing but, which a cube's own columns may be."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], str) and _PLAIN.fullmatch(self.pieces[0]):
            return self.pieces[0]
        return None


def expression(text: str) -> Expression:
    """A condition or a value. Raises ValueError, in words for whoever wrote it."""
    pieces = _pieces(text.strip())
    whole = "".join(piece if isinstance(piece, str) else _name(at) for at, piece in enumerate(pieces))
    parsed = _parsed(whole)
    if isinstance(parsed, exp.Query | exp.Command | exp.DDL | exp.DML | exp.Alias):
        raise ValueError("must be an expression in SQL, not a statement")  # noqa: TRY004 - its reader knows no types
    _closed(whole)
    return Expression(pieces=pieces, columns=frozenset(_columns(parsed, pieces)))


def query(text: str) -> str:
    """A query that a cube is made of. Raises ValueError."""
    pieces = _pieces(text.strip().rstrip(";"))
    found = next((piece for piece in pieces if isinstance(piece, Reference)), None)
    if found is not None:
        raise ValueError(f"the sql of a cube may hold no reference such as {found}; join the cubes instead")
    whole = "".join(str(piece) for piece in pieces)
    if not isinstance(_parsed(whole), exp.Query):
        raise ValueError("must be one SELECT")  # noqa: TRY004 - its reader knows no types
    return whole


def _pieces(text: str) -> tuple[str | Reference, ...]:
    pieces: list[str | Reference] = []
    plain = ""
    at = 0
    for found in _PIECE.finditer(text):
        plain += text[at : found.start()]
        at = found.end()
        if found["escaped"]:
            plain += found["escaped"]
            continue
        if found["stray"]:
            raise ValueError("has a brace without its partner; write \\{ for a brace of SQL's own")
        if plain:
            pieces.append(plain)
            plain = ""
        pieces.append(_reference(found["reference"].strip()))
        if len(pieces) > _MOST_REFERENCES:
            raise ValueError(f"has more than {_MOST_REFERENCES} parts")
    plain += text[at:]
    return (*pieces, plain) if plain else tuple(pieces)


def _reference(text: str) -> Reference:
    if text.split(".", maxsplit=1)[0] in _CONTEXT:
        raise ValueError(f"{{{text}}} is not supported: who may see what is decided by policies")
    if _PATH.fullmatch(text) is None:
        raise ValueError(f"{{{text[:60]}}} is no reference; write {{CUBE}}, {{member}} or {{cube.member}}")
    path = tuple(text.split("."))
    return Reference((CURRENT, *path[1:]) if path[0] == "TABLE" else path)


def _name(at: int) -> str:
    return f"{_MARK}{at}"


def _parsed(text: str) -> exp.Expression:
    try:
        statements = sqlglot.parse(text, dialect=DIALECT)
    except (SqlglotError, RecursionError) as error:
        found = getattr(error, "errors", None)
        reason = found[0].get("description") if found else "it cannot be read"
        raise ValueError(f"is no SQL: {reason}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Expression):
        raise ValueError("must be one expression in SQL")
    parsed = statements[0]
    if any(node.comments for node in parsed.walk()):
        raise ValueError("may hold no comments: they would swallow what is put behind it")
    if parsed.find(exp.Placeholder, exp.Parameter, exp.SessionParameter):
        raise ValueError("may hold no parameters")
    return parsed


def _closed(text: str) -> None:
    """DuckDB's own parser must find one value in it, and nothing behind: another parser may be more generous."""
    try:
        statements = duckdb.extract_statements(f"SELECT (\n{text}\n)")
    except duckdb.Error:
        raise ValueError("is no SQL of one value") from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ValueError("must be one expression in SQL")


def _columns(
    parsed: exp.Expression, pieces: tuple[str | Reference, ...]
) -> set[tuple[Reference | None, str]]:
    references = {_name(at): piece for at, piece in enumerate(pieces) if isinstance(piece, Reference)}
    found: set[tuple[Reference | None, str]] = set()
    for column in parsed.find_all(exp.Column):
        before = references.get(column.table)
        alone = references.get(column.name)
        if before is not None:
            found.add((before, column.name.lower()))
        elif alone is None:
            found.add((None, column.name.lower()))
        elif alone.path == (CURRENT,):
            found.add((alone, WHOLE_ROW))
    return found
