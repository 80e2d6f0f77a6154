"""Cube's answers: what it offers, and its tables in the one form that all semantic layers give.

Shapes: https://cube.dev/docs/product/apis-integrations/rest-api/reference. Databases behind Cube give numbers as text and
truths as 0 and 1; the annotation says what they are.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from penelope.adapters.semantic.cube_reads import reads
from penelope.adapters.semantic.cube_sql import CubeSql
from penelope.domain.semantics import Member, MemberKind, Model
from penelope.errors import Unavailable
from penelope.kit.canonical import Json

_TRUE: Final = frozenset({"true", "t", "1"})
_FALSE: Final = frozenset({"false", "f", "0"})
_LONGEST_NUMBER = 400
_WHOLE = 2**53
# Cube tells count_distinct of a model's YAML as countDistinct.
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])", re.ASCII)

Shape = TypeVar("Shape")


class _Sql(msgspec.Struct, frozen=True):
    sql: str = ""


class _Member(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    title: str = ""
    short_title: str = ""
    description: str = ""
    type: str = ""
    agg_type: str = ""
    is_visible: bool = True
    public: bool = True
    alias_member: str = ""
    sql: str = ""
    filters: list[_Sql] = []
    case: dict[str, Json] | None = None
    meta: dict[str, Json] | None = None


class _Join(msgspec.Struct, frozen=True):
    name: str


class _Cube(msgspec.Struct, frozen=True):
    name: str
    type: str = "cube"
    measures: list[_Member] = []
    dimensions: list[_Member] = []
    segments: list[_Member] = []
    joins: list[_Join] | None = None
    meta: dict[str, Json] | None = None


class _Meta(msgspec.Struct, frozen=True):
    cubes: list[_Cube]


class _Typed(msgspec.Struct, frozen=True):
    type: str = ""


class _Annotation(msgspec.Struct, frozen=True, rename="camel"):
    measures: dict[str, _Typed] = {}
    dimensions: dict[str, _Typed] = {}
    time_dimensions: dict[str, _Typed] = {}


class _Compact(msgspec.Struct, frozen=True):
    members: list[str]
    dataset: list[list[Json]]


class Loaded(msgspec.Struct, frozen=True):
    """An answer of ``/load`` in the format ``compact``."""

    data: _Compact
    annotation: _Annotation


class _Statement(msgspec.Struct, frozen=True):
    sql: tuple[str, list[Json]]


class Compiled(msgspec.Struct, frozen=True):
    """An answer of ``/sql``: the statement, and what is bound in it."""

    sql: _Statement


class Refused(msgspec.Struct, frozen=True):
    """Any answer with an error in it, which comes with status 200 too."""

    error: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What Cube offers. `sql` is what cubes' members are made from. `behind` are the cubes' members that views show, by the
    views'; `renewed` are the measures that say when a cube's data was last renewed, by cube (``as_of`` in its ``meta``).
    """

    model: Model
    members: Mapping[str, Member]
    behind: Mapping[str, str]
    sql: CubeSql
    renewed: Mapping[str, str]


def offered(body: bytes) -> Offered:
    """What is in an answer of ``/meta?extended``. Raises Unavailable."""
    cubes = decoded(body, _Meta).cubes
    members: dict[str, Member] = {}
    behind: dict[str, str] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for cube in cubes:
        for kind, given in (
            (MemberKind.MEASURE, cube.measures),
            (MemberKind.DIMENSION, cube.dimensions),
            (MemberKind.SEGMENT, cube.segments),
        ):
            members.update({each.name: _member(each, kind) for each in given})
            if cube.type == "view":
                behind.update({each.name: each.alias_member for each in given if each.alias_member})
            else:
                texts.update({each.name: tuple(_texts(each)) for each in given})
    sql = CubeSql(members, texts)
    model = Model(
        members=tuple(members.values()),
        views=frozenset(cube.name for cube in cubes if cube.type == "view"),
        joins={cube.name: tuple(each.name for each in cube.joins) for cube in cubes if cube.joins},
        behind=behind,
        reads=reads(sql, behind),
    )
    renewed = _renewed(cubes, members)
    return Offered(model=model, members=members, behind=behind, sql=sql, renewed=renewed)


def _texts(given: _Member) -> Iterator[str]:
    yield given.sql
    yield from (each.sql for each in given.filters)
    # Conditions and labels of a case, however they lie in it; a label that is a text is not SQL.
    waiting: list[Json] = [given.case]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting.extend(value for key, value in each.items() if key != "label" or isinstance(value, dict))
        elif isinstance(each, list):
            waiting.extend(each)


def _renewed(cubes: Sequence[_Cube], members: Mapping[str, Member]) -> dict[str, str]:
    found = {cube.name: f"{cube.name}.{(cube.meta or {}).get('as_of')}" for cube in cubes}
    return {
        cube: name
        for cube, name in found.items()
        if (member := members.get(name)) and member.kind is MemberKind.MEASURE and member.type == "time"
    }


def _member(given: _Member, kind: MemberKind) -> Member:
    return Member(
        name=given.name,
        kind=kind,
        type=_WORDS.sub("_", given.agg_type or given.type).lower(),
        title=given.short_title or given.title,
        description=given.description,
        public=given.public and given.is_visible,
        meta=given.meta or {},
    )


def rows_of(
    loaded: Loaded, columns: tuple[str, ...], limit: int, members: Mapping[str, Member]
) -> list[tuple[Json, ...]]:
    """The cells of `columns`, each in the form of its type. Raises Unavailable for what is no answer to that."""
    data, annotation = loaded.data, loaded.annotation
    if len(data.dataset) > limit:
        raise Unavailable("Cube gave more rows than it was asked for")
    if not data.dataset:
        return []
    types = {**annotation.measures, **annotation.dimensions, **annotation.time_dimensions}
    if missing := [each for each in columns if each not in data.members or each not in types]:
        raise Unavailable(f"Cube gave no column {missing[0]}")
    taken = [(data.members.index(each), _form(types[each].type, members.get(each))) for each in columns]
    width = len(data.members)
    if any(len(row) != width for row in data.dataset):
        raise Unavailable("Cube gave rows of several lengths")
    try:
        return [
            tuple(None if (cell := row[at]) is None else form(cell) for at, form in taken)
            for row in data.dataset
        ]
    except (ValueError, OverflowError):
        # Not what it was: the cell may be one that the asker may not see.
        raise Unavailable("Cube gave a cell that is not of its column's type") from None


def _form(annotated: str, member: Member | None) -> Callable[[Json], Json]:
    if annotated == "number" and member is not None and member.type in {"min", "max"}:
        return _extreme
    return _CELLS.get(annotated, _scalar)


def decoded(body: bytes, shape: type[Shape]) -> Shape:
    """Raises Unavailable."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unavailable("Cube answered something that is no answer") from None


def _number(cell: Json) -> Json:
    """Whole numbers up to 2^53 as such, for a database may give the same sum as 126, 126.0 or "126.00", and the others
    as floats; what is not finite is None.
    """
    if isinstance(cell, str) and len(cell) <= _LONGEST_NUMBER and "_" not in cell:
        try:
            cell = int(cell)
        except ValueError:
            cell = float(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError("no number")  # noqa: TRY004 - all that does not fit its type is one case
    if not math.isfinite(cell):
        return None
    if abs(cell) > _WHOLE:
        return float(cell)
    return int(cell) if cell == int(cell) else cell


def _extreme(cell: Json) -> Json:
    """Cube says of every smallest and largest that it is a number; it may be of a text or a time."""
    for form in (_number, _time):
        try:
            return form(cell)
        except ValueError:
            continue
    return _text(cell)


def _boolean(cell: Json) -> bool:
    text = str(cell).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("no boolean")


def _time(cell: Json) -> str:
    """Cube gives a moment in the query's time zone; one with an offset is told in UTC."""
    if not isinstance(cell, str):
        raise ValueError("no time")  # noqa: TRY004 - all that does not fit its type is one case
    moment = datetime.fromisoformat(cell)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def _text(cell: Json) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str | int | float):
        return str(cell)
    raise ValueError("no text")


def _scalar(cell: Json) -> Json:
    if isinstance(cell, str | int | float | bool):
        return cell
    raise ValueError("no scalar")


_CELLS: Final[Mapping[str, Callable[[Json], Json]]] = {
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "string": _text,
}


def in_order(rows: Sequence[tuple[Json, ...]], places: Sequence[tuple[int, bool]]) -> list[tuple[Json, ...]]:
    """Rows by their columns' places and whether these descend, what is None last: as a database would after a mask."""
    made = list(rows)
    for at, descends in reversed(places):
        there = [row for row in made if row[at] is not None]
        there.sort(key=_key(at), reverse=descends)
        made = there + [row for row in made if row[at] is None]
    return made


def _key(at: int) -> Callable[[tuple[Json, ...]], tuple[bool, Json]]:
    return lambda row: (isinstance(row[at], str), row[at])
