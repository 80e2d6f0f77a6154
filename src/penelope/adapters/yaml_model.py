"""Holds a YAML document against a pydantic model, so that the published schema and the checks are one thing."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from penelope.adapters.yaml_source import Document, Problem, Where
from penelope.kit.canonical import Json
from penelope.kit.described import Described

Model = TypeVar("Model", bound="Part")

CHOICE = "\x00"
"""What the tag of a choice among several shapes begins with, before the name of the shape. No key of a file holds it."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_PLAIN_WORDS = (
    (r"^Input should be", "must be"),
    (r"^(?:List|Dictionary|String) should have (.*?)(?: after validation.*)?$", r"must have \1"),
    (r"a valid dictionary( or instance of \w+)?", "a mapping"),
    (r"a valid string", "a text"),
    (r"a valid integer", "a whole number"),
    (r"a valid boolean", "true or false"),
    (r"a valid number", "a number"),
    (r"a valid list", "a list"),
)


class Part(Described):
    """A mapping with known keys; the docstring under each key is its description in the schema."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        model_title_generator=lambda model: model.__name__.removesuffix("Rule"),
    )


@dataclass(frozen=True, slots=True)
class Form:
    """Says that a text follows a pattern in full, and in words what that means."""

    pattern: str
    meaning: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}

    def _check(self, value: str) -> str:
        if re.fullmatch(self.pattern, value) is None:
            raise PydanticCustomError("form", "must be {meaning}", {"meaning": self.meaning})
        return value


def _seconds(value: Json) -> Json:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        value = float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise PydanticCustomError("duration", "must be a duration such as 500ms, 15s, 5m or 1h, or seconds")
    return float(value)


def _positive_seconds(value: Json) -> Json:
    seconds = _seconds(value)
    if not seconds:
        raise PydanticCustomError("duration", "must be longer than nothing")
    return seconds


_DURATION_SCHEMA = {"type": ["string", "number"], "minimum": 0, "pattern": f"^(?:{_DURATION.pattern})$"}

Duration = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds, written as a number or as a text with a unit."""

PositiveDuration = Annotated[
    float,
    BeforeValidator(_positive_seconds),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "exclusiveMinimum": 0,
            "pattern": f"^(?=.*[1-9])(?:{_DURATION.pattern})$",
        }
    ),
]
"""Like `Duration`, but not nothing."""


class _Generator(GenerateJsonSchema):
    """Says all that pydantic checks, and no default that only means "not given": it would break the schema."""

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        result = super().dict_schema(schema)
        # A key that follows no pattern is refused, which pydantic's own schema leaves open.
        return {**result, "additionalProperties": False} if "patternProperties" in result else result

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        if schema.get("default") in (None, ""):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def json_schema(model: type[Part], identifier: str) -> dict[str, Any]:
    """The model as JSON Schema, draft 2020-12, under the given `$id`."""
    schema = model.model_json_schema(schema_generator=_Generator)
    return {"$schema": _DIALECT, "$id": identifier, **schema}


def validate(document: Document, model: type[Model]) -> tuple[Model | None, list[Problem]]:
    """The document's data as the model, or None; and every problem, those of the YAML itself included."""
    if document.problems:
        return None, document.problems
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        schema = model.model_json_schema()
        details = error.errors(include_url=False, include_context=True, include_input=True)
        return None, [_problem(document, schema, item) for item in details]


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known word is near, otherwise nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _problem(document: Document, schema: Mapping[str, Any], error: ErrorDetails) -> Problem:
    shaped: Where = error["loc"]
    where: Where = tuple(part for part in shaped if not _is_choice(part))
    at_key = where[-1:] == ("[key]",)
    if at_key:
        where = where[:-1]
    match error["type"]:
        case "extra_forbidden":
            *parent, key = shaped
            known = _node(schema, parent).get("properties", {})
            message = f"unknown key '{key}'{suggestion(str(key), known)}"
            return document.problem(where, message, at_key=True)
        case "missing":
            return document.problem(where[:-1], f"the key '{where[-1]}' is missing", at_key=True)
        case "string_type" if isinstance(error["input"], int | float):
            return document.problem(where, "must be a text; put it in quotes", at_key=at_key)
        case _:
            return document.problem(where, _plain(error["msg"]), at_key=at_key)


def _is_choice(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith(CHOICE)


def _plain(message: str) -> str:
    """Pydantic's message in the words of YAML."""
    for technical, plain in _PLAIN_WORDS:
        message = re.sub(technical, plain, message)
    return message[:1].lower() + message[1:]


def _node(schema: Mapping[str, Any], where: Iterable[str | int]) -> Mapping[str, Any]:
    """The part of a JSON schema that describes a part of the document; empty where it says nothing about it."""
    node = _resolved(schema, schema)
    for step in where:
        if _is_choice(step):
            node = schema["$defs"][str(step).removeprefix(CHOICE)]
            continue
        below = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        below = below or next(iter(node.get("patternProperties", {}).values()), None)
        node = _resolved(schema, below if isinstance(below, Mapping) else {})
    return node


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in _options(node):
        if "$ref" in option:
            target: Mapping[str, Any] = schema["$defs"][option["$ref"].rpartition("/")[2]]
            return target
    return node


def _options(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    yield from node.get("anyOf", ())
