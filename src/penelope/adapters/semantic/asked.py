"""A query held against the model: every name resolved, everything that cannot be meant refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penelope.adapters.semantic.filters import leaves
from penelope.adapters.semantic.shape import Exposed, Shape
from penelope.adapters.semantic.times import zone
from penelope.adapters.semantic.veil import Veil
from penelope.adapters.yaml_model import suggestion
from penelope.domain.semantics import Condition, Granularity, MemberKind, SemanticQuery
from penelope.errors import InvalidQuery

MOST_MEMBERS = 100
MOST_ROWS = 50_000
MOST_OFFSET = 10_000_000
_SHOWN = 100

_FINEST = tuple(Granularity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A column that groups rows; the granularity is that of a time."""

    exposed: Exposed
    granularity: Granularity | None = None

    @property
    def column(self) -> str:
        return self.exposed.name if self.granularity is None else f"{self.exposed.name}.{self.granularity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`ranges` are times with first and last moment; `order` is of columns by their place, and whether it descends."""

    groups: tuple[Selected, ...]
    measures: tuple[Exposed, ...]
    segments: tuple[Exposed, ...]
    rows: tuple[Condition, ...]
    totals: tuple[Condition, ...]
    ranges: tuple[tuple[Exposed, tuple[str, str]], ...]
    order: tuple[tuple[int, bool], ...]
    named: tuple[Exposed, ...]
    """All members that it names, in the order in which Cube looks at them to find a join."""


def asked(shape: Shape, query: SemanticQuery, veil: Veil) -> Asked:
    """Raises InvalidQuery."""
    _bounded(query)
    reader = _Reader(shape, veil)
    measures = [reader.member(name, MemberKind.MEASURE) for name in _once(query.measures)]
    dimensions = [reader.member(name, MemberKind.DIMENSION) for name in _once(query.dimensions)]
    segments = [reader.filtering(name, MemberKind.SEGMENT) for name in _once(query.segments)]
    times = [(reader.time(item.dimension), item) for item in query.time_dimensions]
    groups = list(
        dict.fromkeys(
            [
                *(Selected(exposed=item) for item in dimensions),
                *(
                    Selected(exposed=found, granularity=Granularity(item.granularity))
                    for found, item in times
                    if item.granularity is not None
                ),
            ]
        )
    )
    if not measures and not groups:
        raise InvalidQuery("a query needs measures, dimensions or a time dimension with its granularity")
    for found, item in times:
        if item.date_range is not None:
            veil.refuse(found, "filter")
    rows, totals, filtered = reader.conditions(query.filters)
    columns = [item.column for item in groups] + [item.name for item in measures]
    return Asked(
        groups=tuple(groups),
        measures=tuple(measures),
        segments=tuple(segments),
        rows=rows,
        totals=totals,
        ranges=tuple((found, item.date_range) for found, item in times if item.date_range is not None),
        order=_order(query, groups, measures, columns, reader),
        named=(*measures, *dimensions, *segments, *filtered, *(found for found, _ in times)),
    )


def _once(names: Sequence[str]) -> Iterable[str]:
    return dict.fromkeys(names)


def _bounded(query: SemanticQuery) -> None:
    lists = (
        query.measures,
        query.dimensions,
        query.segments,
        query.time_dimensions,
        query.order,
        query.filters,
    )
    if any(len(items) > MOST_MEMBERS for items in lists):
        raise InvalidQuery(f"a query names at most {MOST_MEMBERS} members of each kind")
    if not 0 <= query.limit <= MOST_ROWS:
        raise InvalidQuery(f"limit is 0 to {MOST_ROWS}")
    if not 0 <= query.offset <= MOST_OFFSET:
        raise InvalidQuery(f"offset is 0 to {MOST_OFFSET}")
    zone(query.timezone)


class _Reader:
    """Looks names up."""

    def __init__(self, shape: Shape, veil: Veil) -> None:
        self._shape = shape
        self._veil = veil

    def member(self, name: str, kind: MemberKind) -> Exposed:
        found = self._shape.exposed.get(name)
        if found is None or not found.public:
            shown = name if len(name) <= _SHOWN and name.isprintable() else "what was asked for"
            visible = (item.name for item in self._shape.exposed.values() if item.public)
            raise InvalidQuery(f"there is no member {shown}{suggestion(name[:_SHOWN], visible)}")
        if found.definition.kind is not kind:
            raise InvalidQuery(f"{name} is a {found.definition.kind} and no {kind}")
        return found

    def filtering(self, name: str, kind: MemberKind) -> Exposed:
        found = self.member(name, kind)
        self._veil.refuse(found, "filter")
        return found

    def time(self, name: str) -> Exposed:
        found = self.member(name, MemberKind.DIMENSION)
        if found.definition.type != "time":
            raise InvalidQuery(f"{name} is no time")
        return found

    def conditions(
        self, given: Sequence[Condition]
    ) -> tuple[tuple[Condition, ...], tuple[Condition, ...], list[Exposed]]:
        """Those on rows, those on what rows came to, and the members of both."""
        rows: list[Condition] = []
        totals: list[Condition] = []
        members: tuple[list[Exposed], list[Exposed]] = ([], [])
        for condition in given:
            found = [self._filtered(item.member) for item in leaves(condition)]
            of_measures = [item.definition.kind is MemberKind.MEASURE for item in found]
            if any(of_measures) != all(of_measures):
                raise InvalidQuery("one group of filters cannot hold both measures and dimensions")
            (totals if of_measures[0] else rows).append(condition)
            members[of_measures[0]].extend(found)
        return tuple(rows), tuple(totals), [*members[0], *members[1]]

    def _filtered(self, name: str) -> Exposed:
        known = self._shape.exposed.get(name)
        is_measure = known is not None and known.definition.kind is MemberKind.MEASURE
        return self.filtering(name, MemberKind.MEASURE if is_measure else MemberKind.DIMENSION)

    def ordering(self, name: str) -> None:
        """Refuses a masked member."""
        found = self._shape.exposed.get(name) or self._shape.exposed.get(name.rpartition(".")[0])
        if found is not None:
            self._veil.refuse(found, "order")


def _order(
    query: SemanticQuery,
    groups: Sequence[Selected],
    measures: Sequence[Exposed],
    columns: Sequence[str],
    reader: _Reader,
) -> tuple[tuple[int, bool], ...]:
    """As Cube orders where nothing else is said: by the first time, else by the first measure from the top, else by the
    first dimension. The columns that group come last, so that equal rows always stand in the same order.
    """
    order: list[tuple[int, bool]] = []
    for name, descending in query.order:
        reader.ordering(name)
        order.append((_place(name, groups, columns), descending))
    if not query.order:
        first_time = next((at for at, item in enumerate(groups) if item.granularity is not None), None)
        if first_time is not None:
            order = [(_place(groups[first_time].exposed.name, groups, columns), False)]
        elif measures and groups:
            order = [(len(groups), True)]
        elif groups:
            order = [(0, False)]
    known = {at for at, _ in order}
    return (*order, *((at, False) for at in range(len(groups)) if at not in known))


def _place(name: str, groups: Sequence[Selected], columns: Sequence[str]) -> int:
    """The column of a member; of a time in several granularities the finest."""
    times = [
        (_FINEST.index(item.granularity), at)
        for at, item in enumerate(groups)
        if item.granularity is not None and item.exposed.name == name
    ]
    if name in columns:
        return columns.index(name)
    if times:
        return min(times)[1]
    raise InvalidQuery("a query can be ordered only by members that it asks for")
