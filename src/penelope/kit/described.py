"""Describes the fields of models by the texts below them, when somebody asks for a schema."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Described(BaseModel):
    """A model of which the text below each field is its description in the JSON schema.

    pydantic's own `use_attribute_docstrings` reads the source of every class while it is made: that was a tenth of a server's
    start, of which hardly one shows a schema to anybody.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in _texts(cls).items():
            field = cls.model_fields.get(name)
            for shown in (name, field.alias if field is not None else None):
                if shown in properties:
                    properties[shown].setdefault("description", text)
        return made


@cache
def _texts(model: type[BaseModel]) -> Mapping[str, str]:
    """By the name of a field. What a class says of a field stands above what those before it say."""
    return {
        name: text
        for each in reversed(model.__mro__)
        if issubclass(each, Described) and each is not Described
        for name, text in _below(each)
    }


def _below(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    [made] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(made, ast.ClassDef)  # noqa: S101 - the source of a class
    for field, below in itertools.pairwise(made.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
