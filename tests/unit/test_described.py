"""What stands below a field is its description in the schema, as pydantic's own option has it."""

from pydantic import BaseModel, ConfigDict, Field

from penelope.kit.described import Described


class Inner(Described):
    depth: int = 0
    """How deep it is."""


class Outer(Described):
    """A class."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    plain: int = 0
    """One line,
    and another.
    """
    renamed: str = Field("", alias="reNamed")
    """By another name."""
    told: str = Field("", description="Told by itself.")
    """Not this."""
    inner: Inner = Inner()
    """What is inside."""
    silent: int = 0


class Later(Outer):
    plain: int = 1
    """Said anew."""


class OfPydantic(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    plain: int = 0
    """One line,
    and another.
    """
    renamed: str = Field("", alias="reNamed")
    """By another name."""
    told: str = Field("", description="Told by itself.")
    """Not this."""
    inner: Inner = Inner()
    """What is inside."""
    silent: int = 0


def test_it_says_what_pydantic_would() -> None:
    for by_alias in (True, False):
        ours, theirs = (model.model_json_schema(by_alias=by_alias) for model in (Outer, OfPydantic))
        assert ours["properties"] == theirs["properties"]
        assert ours["properties"]["plain"]["description"] == "One line,\nand another."
        assert ours["$defs"]["Inner"]["properties"]["depth"]["description"] == "How deep it is."


def test_a_class_says_more_than_the_one_before() -> None:
    properties = Later.model_json_schema()["properties"]
    assert properties["plain"]["description"] == "Said anew."
    assert properties["inner"]["description"] == "What is inside."
    assert Later.model_json_schema()["examples"] == [{}]
