"""What a target of the SQL adapter is configured with, and what its operations take."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penelope.errors import InvalidPlaybook
from penelope.kit.canonical import Json

MOST_ROWS = 10_000
MOST_BYTES = 16 * 1024 * 1024
"""Of the rows that one action keeps."""

_MOST_COLUMNS = 100
_MOST_TEXT = 100_000

Identifier = Annotated[str, Meta(min_length=1, max_length=63)]
Scalar = bool | int | float | str | None
Count = Annotated[int, Meta(ge=1, le=MOST_ROWS)]
Seconds = Annotated[float, Meta(ge=0.1, le=30 * 24 * 3600)]
Pattern = Annotated[str, Meta(min_length=1, max_length=200)]


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all shapes here have in common."""


class Statement(Struct, frozen=True, kw_only=True):
    """A statement that the catalogue allows. Parameters stand in it as ``:name``.

    `undo` takes the same parameters. `look` is a query whose rows are what the statement may change: they are compared,
    by hash and whatever their order, before it and after its undo. `max_rows` counts what the statement itself changes, so
    it must not change any within a ``WITH``.
    """

    sql: str
    params: list[Identifier] = []
    max_rows: Count
    undo: str | None = None
    look: str | None = None


class TwinCopy(Struct, frozen=True, kw_only=True):
    """What of a PostgreSQL database may be copied for a rehearsal: its schema, and of the tables that `rows` names so many
    rows. Those that a plan's own conditions choose are copied beside them.
    """

    rows: dict[str, Count] = {}


class SqlOptions(Struct, frozen=True, kw_only=True):
    """Options of a target. `url` is ``postgresql://…`` or ``sqlite:////absolute/path``; a password may stand in it or in
    `password`. `ledger_table` names a table that the adapter makes, and in which it writes the key of each change of
    rows within the same transaction. `ignored_columns` are written by the database itself (triggers): they are neither
    compared nor put back. `parameters` are the names that `set_parameter` may set. With `twin`, plans are tried on a copy
    of a PostgreSQL database first (docs/twin.md).
    """

    url: str
    password: str | None = None
    ledger_table: Identifier | None = None
    ignored_columns: list[Identifier] = []
    allow_triggers: bool = False
    statements: dict[str, Statement] = {}
    parameters: list[Identifier] = []
    lock_timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 3.0
    twin: TwinCopy | None = None


class Condition(Struct, frozen=True, kw_only=True):
    """What a column must be; exactly one of them."""

    one_of: list[Scalar] | None = None
    at_least: int | float | str | None = None
    at_most: int | float | str | None = None
    older_than_seconds: Annotated[float, Meta(ge=0, le=10 * 366 * 24 * 3600)] | None = None
    """For a time: a timestamp, or in SQLite a text that it reads as one, or seconds since 1970."""


Where = dict[Identifier, Scalar | Condition]


class UpdateParams(Struct, frozen=True, kw_only=True):
    """The rows that fit `where`, one to `max_rows`, get the values of `set`."""

    table: str
    where: Where
    set: dict[Identifier, Scalar]
    max_rows: Count = 100


class DeleteParams(Struct, frozen=True, kw_only=True):
    """The rows that fit `where`, one to `max_rows`, are deleted."""

    table: str
    where: Where
    max_rows: Count = 100


class InsertParams(Struct, frozen=True, kw_only=True):
    """Each row names its whole primary key."""

    table: str
    rows: Annotated[list[dict[Identifier, Scalar]], Meta(min_length=1, max_length=1000)]


class TerminateParams(Struct, frozen=True, kw_only=True):
    """Active queries older than that, of applications and users whose names fit the patterns (``*`` and ``?``)."""

    older_than_seconds: Seconds
    application: Pattern = "*"
    user: Pattern = "*"
    at_most: Annotated[int, Meta(ge=1, le=50)] = 1
    """Where more fit, nothing is ended."""
    grace_seconds: Annotated[float, Meta(ge=0, le=60)] = 3.0
    """How long a cancelled query has to end before its connection is ended."""


class RecycleParams(Struct, frozen=True, kw_only=True):
    """Connections that have been idle for that long. Of those that fit, the oldest `at_most` are ended."""

    application: Pattern
    user: Pattern = "*"
    idle_seconds: Seconds = 60
    states: Annotated[
        tuple[Literal["idle", "idle in transaction", "idle in transaction (aborted)"], ...],
        Meta(min_length=1),
    ] = ("idle", "idle in transaction", "idle in transaction (aborted)")
    at_most: Annotated[int, Meta(ge=1, le=500)] = 50


class IndexParams(Struct, frozen=True, kw_only=True):
    """An index of that name on plain columns, in this order."""

    table: str
    columns: Annotated[list[Identifier], Meta(min_length=1, max_length=16)]
    name: Identifier
    method: Literal["btree", "hash", "gin", "gist", "brin"] = "btree"


class ParameterParams(Struct, frozen=True, kw_only=True):
    """`role` is needed for the scope ``role``. What is set for the ``system`` is in force at once, the others for new
    sessions.
    """

    scope: Literal["database", "role", "system"]
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$", max_length=63)]
    value: bool | int | float | Annotated[str, Meta(max_length=200)]
    role: Identifier | None = None


class RunParams(Struct, frozen=True, kw_only=True):
    """`statement` is a name in the target's option `statements`."""

    statement: str
    params: dict[Identifier, Scalar] = {}


def check_table(name: str) -> tuple[str | None, str]:
    """Schema and table. Raises InvalidPlaybook."""
    schema, _, table = name.rpartition(".")
    for part in (schema, table) if "." in name else (table,):
        check_identifier(part)
    return schema or None, table


def check_identifier(name: str) -> None:
    """Raises InvalidPlaybook for what no sane database names anything, however well it would be quoted."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]{0,62}", name, re.ASCII) is None:
        raise InvalidPlaybook("names of tables, columns and indexes are letters, digits, _ and $")


def check_where(where: Where) -> None:
    """Raises InvalidPlaybook; a condition that says nothing would fit every row."""
    if not where or len(where) > _MOST_COLUMNS:
        raise InvalidPlaybook(f"where needs 1 to {_MOST_COLUMNS} columns")
    for column, wanted in where.items():
        check_identifier(column)
        if isinstance(wanted, Condition):
            _check_condition(wanted)
        else:
            check_value(wanted)


def check_values(values: dict[str, Scalar]) -> None:
    """Raises InvalidPlaybook."""
    if not values or len(values) > _MOST_COLUMNS:
        raise InvalidPlaybook(f"there must be 1 to {_MOST_COLUMNS} columns")
    for column, value in values.items():
        check_identifier(column)
        check_value(value)


def check_value(value: Json) -> None:
    """Raises InvalidPlaybook for what one of the databases could not hold, without showing it."""
    if isinstance(value, str) and (len(value) > _MOST_TEXT or "\x00" in value or not _is_unicode(value)):
        raise InvalidPlaybook(f"texts are at most {_MOST_TEXT} characters of Unicode, without NUL")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidPlaybook("whole numbers have at most 64 bits")
    if isinstance(value, float) and not -1e308 <= value <= 1e308:
        raise InvalidPlaybook("numbers must be finite")


def _check_condition(wanted: Condition) -> None:
    given = [wanted.one_of, wanted.at_least, wanted.at_most, wanted.older_than_seconds]
    if sum(value is not None for value in given) != 1:
        raise InvalidPlaybook(
            "a condition needs exactly one of one_of, at_least, at_most, older_than_seconds"
        )
    if wanted.one_of is not None and not 1 <= len(wanted.one_of) <= 1000:
        raise InvalidPlaybook("one_of needs 1 to 1000 values")
    for value in [wanted.at_least, wanted.at_most, *(wanted.one_of or [])]:
        check_value(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
