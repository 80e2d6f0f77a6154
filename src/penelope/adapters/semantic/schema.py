"""What a file of data models may hold: Cube's YAML, as far as the embedded layer answers it.

Written after https://cube.dev/docs/product/data-modeling/reference/cube. Keys that only make Cube faster, or that only
arrange members on a screen, are read over.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from penelope.adapters.yaml_model import Form, Part
from penelope.kit.canonical import Json

MOST_MEMBERS = 2_000
"""Of each kind in one cube."""
_LONGEST_SQL = 20_000

Name = Annotated[
    str, Form("[A-Za-z_][A-Za-z0-9_]{0,99}", "a name of letters, digits and _, not beginning with a digit")
]
TableName = Annotated[
    str,
    Form(
        r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\x00]{1,100}")(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\x00]{1,100}")){0,2}',
        "the name of a table, with its schema and database if need be",
    ),
]
Path = Annotated[
    str, Form(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,15}", "names of cubes, joined by dots")
]


def _sql(value: Json) -> Json:
    # YAML makes numbers and truths of short expressions; Cube takes them as text.
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        raise PydanticCustomError("jinja", "must not be a Jinja template; only {references} are filled in")
    return value


Sql = Annotated[str, BeforeValidator(_sql), Field(min_length=1, max_length=_LONGEST_SQL)]
Meta = dict[str, Any]


class Described(Part):
    """What all parts of a model have in common."""

    model_config = ConfigDict(populate_by_name=False)

    name: Name
    title: str | None = None
    description: str | None = None
    public: bool | None = None
    shown: bool | None = None
    """The older word for `public`."""
    meta: Meta = Field(default_factory=dict)

    @property
    def visible(self) -> bool | None:
        return self.public if self.public is not None else self.shown


class SqlRule(Part):
    sql: Sql


class WhenRule(Part):
    sql: Sql
    label: str | SqlRule


class ElseRule(Part):
    label: str | SqlRule


class CaseRule(Part):
    when: Annotated[list[WhenRule], Field(min_length=1, max_length=200)]
    otherwise: ElseRule | None = Field(default=None, alias="else")


class DimensionRule(Described):
    type: Literal["string", "number", "boolean", "time"]
    sql: Sql | None = None
    case: CaseRule | None = None
    primary_key: bool = False
    sub_query: bool = False
    propagate_filters_to_sub_query: Literal[False] = False
    format: Any = None
    granularities: Any = None
    """Granularities of one's own are read over: a query names one of the eight usual ones."""


class MeasureRule(Described):
    type: Literal[
        "count",
        "count_distinct",
        "count_distinct_approx",
        "sum",
        "avg",
        "min",
        "max",
        "number",
        "string",
        "time",
        "boolean",
    ]
    sql: Sql | None = None
    filters: Annotated[list[SqlRule], Field(default_factory=list, max_length=50)]
    format: Any = None
    currency: Any = None
    drill_members: Any = None


class SegmentRule(Described):
    sql: Sql


class JoinRule(Part):
    name: Name
    relationship: Literal["one_to_one", "one_to_many", "many_to_one", "has_one", "has_many", "belongs_to"]
    sql: Sql


class CubeRule(Described):
    sql: Sql | None = None
    sql_table: TableName | None = None
    sql_alias: Any = None
    data_source: Literal["default"] = "default"
    joins: Annotated[list[JoinRule], Field(default_factory=list, max_length=100)]
    dimensions: Annotated[list[DimensionRule], Field(default_factory=list, max_length=MOST_MEMBERS)]
    measures: Annotated[list[MeasureRule], Field(default_factory=list, max_length=MOST_MEMBERS)]
    segments: Annotated[list[SegmentRule], Field(default_factory=list, max_length=MOST_MEMBERS)]
    refresh_key: Any = None
    pre_aggregations: Any = None
    hierarchies: Any = None
    folders: Any = None


class IncludeRule(Part):
    name: Name
    alias: Name | None = None
    title: str | None = None
    description: str | None = None
    format: Any = None
    meta: Meta | None = None


class ViewCubeRule(Part):
    join_path: Path
    includes: Literal["*"] | Annotated[list[Name | IncludeRule], Field(max_length=MOST_MEMBERS)]
    excludes: Annotated[list[Name], Field(default_factory=list, max_length=MOST_MEMBERS)]
    prefix: bool = False
    alias: Name | None = None
    split: Literal[False] = False


class ViewRule(Described):
    cubes: Annotated[list[ViewCubeRule], Field(min_length=1, max_length=100)]
    folders: Any = None


class ModelFile(Part):
    cubes: Annotated[list[CubeRule], Field(default_factory=list, max_length=500)]
    views: Annotated[list[ViewRule], Field(default_factory=list, max_length=500)]
