"""Applies what the policy said: to a question before it is asked, to what is found, and once more to what comes back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from penelope.domain.access import Access, Masking
from penelope.domain.concept import Definition
from penelope.domain.masking import HASH_CHARACTERS, PARTIAL_CHARACTERS, PARTIAL_SIGN
from penelope.domain.semantics import Condition, Filter, Model, SemanticQuery, Table
from penelope.errors import AccessBroken
from penelope.kit.canonical import Json
from penelope.rooms.context.rows import meets

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The question may not be asked so; `reasons` name only what the asker named."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """A question that may be asked: `query` has the row filters in it and nothing that is to be null; `masks` go with it.

    `columns` are those of the answer in their order, also the ones that are null and so were not asked for.
    """

    query: SemanticQuery
    masks: Mapping[str, Masking] = field(default_factory=dict)
    row_filters: tuple[Condition, ...] = ()
    columns: tuple[str, ...] = ()
    nulls: frozenset[str] = frozenset()


def cubes_of(query: SemanticQuery, model: Model) -> tuple[str, ...]:
    """All that is to be decided on before a query: the cubes and views that it names, the cubes behind what it names of
    views, and the cubes that its formulas read.
    """
    named = set(members(query))
    shown = {model.behind[name] for name in named if name in model.behind}
    read = {name for each in named for name in model.reads.get(each, ())}
    # A column may be shown by views that the query has nothing to do with.
    return tuple(
        sorted({_cube(name) for name in named | shown} | ({_cube(name) for name in read} - model.views))
    )


def govern(query: SemanticQuery, accesses: Mapping[str, Access], model: Model) -> Governed | Refusal:
    """The question as it may be asked, or why it may not.

    `accesses` are by cube or view, of all `cubes_of` the query. A member of a view is masked as the member that it shows,
    and rows that are to be left out of the cube are left out of the view. A measure or a segment whose formula `model`
    does not tell is taken to read every column of its cube.
    """
    cubes = cubes_of(query, model)
    if any(cube not in accesses for cube in cubes):
        return Refusal(reasons=("nothing was decided about a part of the question, so it is denied",))
    denials = [access for access in accesses.values() if not access.allow]
    if denials or not cubes:
        reasons = dict.fromkeys(reason for access in denials for reason in access.reasons)
        return Refusal(reasons=tuple(reasons) or ("the policy denies it",))
    masks = _merged(accesses.values(), model)
    if touched := sorted(_touched(query, masks, model)):
        told = ", ".join(touched)
        return Refusal(reasons=(f"masked for you, and so not to filter, order or calculate with: {told}",))
    filters = tuple(dict.fromkeys(item for cube in cubes for item in accesses[cube].row_filters))
    if any(member in model.reads for item in filters for member in _of(item)):
        return Refusal(reasons=("a row filter of the policy is on what is no column, so it is denied",))
    if _views(query, model):
        found = [_on_view(item, query, model) for item in filters]
        filters = tuple(dict.fromkeys(item for item in found if item is not None))
        if None in found:
            return Refusal(
                reasons=("a row filter of the policy is on what the view does not show, so it is denied",)
            )
    return _asked(query, masks, filters)


def _touched(query: SemanticQuery, masks: Mapping[str, Masking], model: Model) -> set[str]:
    """What the query uses, more than to show it, that is masked or made from what is masked."""
    computed = {*query.measures, *query.segments}
    made = (name for name in query.dimensions if name in model.reads and name not in masks)
    return {name for name in {*_used(query), *made} if _is_masked(name, masks, model, computed)}


def _views(query: SemanticQuery, model: Model) -> set[str]:
    return {_cube(name) for name in members(query)} & model.views


def _on_view(condition: Condition, query: SemanticQuery, model: Model) -> Condition | None:
    """A row filter by the names that the query's views give its members; None where they do not show one of them."""
    if not isinstance(condition, Filter):
        parts = [_on_view(part, query, model) for part in condition.parts]
        return (
            None
            if None in parts
            else replace(condition, parts=tuple(part for part in parts if part is not None))
        )
    views = _views(query, model)
    if _cube(condition.member) in views:
        return condition
    shown = sorted(
        name for name, member in model.behind.items() if member == condition.member and _cube(name) in views
    )
    return replace(condition, member=shown[0]) if shown else None


def _asked(
    query: SemanticQuery, masks: Mapping[str, Masking], filters: tuple[Condition, ...]
) -> Governed | Refusal:
    nulls = frozenset(name for name in query.dimensions if masks.get(name) is Masking.NULL)
    dimensions = tuple(name for name in query.dimensions if name not in nulls)
    if nulls and not (dimensions or query.measures or query.time_dimensions):
        return Refusal(reasons=("nothing is left of the question that you may see",))
    hidden = {name: masks[name] for name in dimensions if name in masks}
    order = query.order or _order(query, dimensions, hidden)
    return Governed(
        query=replace(query, dimensions=dimensions, order=order, filters=(*query.filters, *filters)),
        masks=hidden,
        row_filters=filters,
        columns=_columns(query),
        nulls=nulls,
    )


def _order(
    query: SemanticQuery, dimensions: tuple[str, ...], hidden: Mapping[str, Masking]
) -> tuple[tuple[str, bool], ...]:
    """Without a word a store may order by what is masked, and so tell which value comes before which."""
    if not hidden or any(each.granularity for each in query.time_dimensions):
        return ()
    if query.measures:
        return ((query.measures[0], True),)
    return tuple((name, False) for name in dimensions if name not in hidden)[:1]


def checked(table: Table, governed: Governed) -> Table:
    """The table with its null columns, if nothing in it is against the policy.

    Raises AccessBroken, which shows nothing of it: a masked value in clear, a row outside of the row filters as far as
    their columns are there, a column that nobody asked for.
    """
    expected = [name for name in governed.columns if name not in governed.nulls]
    if len(set(table.columns)) != len(table.columns) or set(table.columns) - set(expected):
        raise AccessBroken("a store gave columns that it was not asked for")
    if any(len(row) != len(table.columns) for row in table.rows):
        raise AccessBroken("a store gave rows that do not fit their columns")
    places = {name: table.columns.index(name) for name in governed.masks if name in table.columns}
    for row in table.rows:
        if not all(looks_masked(row[place], governed.masks[name]) for name, place in places.items()):
            raise AccessBroken("a store gave a value that is to be masked")
        cells = {
            name: cell for name, cell in zip(table.columns, row, strict=True) if name not in governed.masks
        }
        if any(meets(cells, condition) is False for condition in governed.row_filters):
            raise AccessBroken("a store gave a row that is to be left out")
    return _with_nulls(table, governed)


def _with_nulls(table: Table, governed: Governed) -> Table:
    rows = table.rows
    if governed.masks and not governed.query.order and not governed.query.time_dimensions:
        rows = tuple(sorted(rows, key=repr))
    if not governed.nulls:
        return replace(table, rows=rows)
    columns = tuple(name for name in governed.columns if name in governed.nulls or name in table.columns)
    places = [table.columns.index(name) if name in table.columns else None for name in columns]
    return replace(
        table,
        columns=columns,
        rows=tuple(tuple(None if at is None else row[at] for at in places) for row in rows),
    )


def looks_masked(value: Json, masking: Masking) -> bool:
    """Whether a value can be what `mask` leaves."""
    if value is None:
        return True
    if masking is Masking.NULL or not isinstance(value, str):
        return False
    if masking is Masking.HASH:
        return len(value) == HASH_CHARACTERS and all(letter in "0123456789abcdef" for letter in value)
    return value.startswith(PARTIAL_SIGN) and len(value) <= len(PARTIAL_SIGN) + PARTIAL_CHARACTERS


def visible(found: Sequence[Found], accesses: Sequence[Access]) -> list[Found]:
    """Of passages, definitions or alternatives those that may be seen whole: of a text no column can be masked, and no row
    left out, so that whatever is bound to that stays away. `accesses` are in the order of `found`.
    """
    return [
        item
        for item, access in zip(found, accesses, strict=True)
        if access.allow and not access.masks and not access.row_filters
    ]


def visible_rows(rows: Sequence[Found], sizes: Sequence[int], accesses: Sequence[Access]) -> list[Found]:
    """Of rows that tell of several things each those of which all may be seen; `sizes` say of how many, and `accesses` are
    in their order.
    """
    judged = iter(accesses)
    found = []
    for row, size in zip(rows, sizes, strict=True):
        of_row = [next(judged) for _ in range(size)]
        if len(visible(of_row, of_row)) == size:
            found.append(row)
    return found


def why_not(definition: Definition, access: Access) -> str:
    """Whom to ask, and why not: all that somebody learns who may know of a definition and not read it."""
    owner = f", owned by {definition.owner}" if definition.owner else ""
    return f"{definition.title}{owner}: {'; '.join(access.reasons) or 'the policy denies it'}"


def _cube(member: str) -> str:
    return member.partition(".")[0]


def _of(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Filter):
        yield condition.member
    else:
        for part in condition.parts:
            yield from _of(part)


def _used(query: SemanticQuery) -> Iterator[str]:
    """All members but the dimensions that are only shown."""
    yield from query.measures
    yield from query.segments
    yield from (each.dimension for each in query.time_dimensions)
    yield from (member for member, _ in query.order)
    yield from (member for condition in query.filters for member in _of(condition))


def members(query: SemanticQuery) -> Iterator[str]:
    """All that a query names, some more than once."""
    yield from query.dimensions
    yield from _used(query)


def _columns(query: SemanticQuery) -> tuple[str, ...]:
    times = (f"{each.dimension}.{each.granularity}" for each in query.time_dimensions if each.granularity)
    return tuple(dict.fromkeys((*query.dimensions, *times, *query.measures)))


def _is_masked(member: str, masks: Mapping[str, Masking], model: Model, computed: set[str]) -> bool:
    if member in masks:
        return True
    if member in model.reads:
        return any(name in masks for name in model.reads[member])
    return member in computed and any(_cube(name) == _cube(member) for name in masks)


def _merged(accesses: Iterable[Access], model: Model) -> dict[str, Masking]:
    """The strictest of what was said of each member, and of the member that it shows."""
    masks: dict[str, Masking] = {}
    for access in accesses:
        for name, masking in access.masks.items():
            masks[name] = max(masks.get(name, masking), masking, key=_STRICTNESS.index)
    for name, member in model.behind.items():
        if member in masks:
            masks[name] = max(masks.get(name, masks[member]), masks[member], key=_STRICTNESS.index)
    return masks


_STRICTNESS = (Masking.PARTIAL, Masking.HASH, Masking.NULL)
