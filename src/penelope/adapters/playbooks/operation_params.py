"""Holds a step's parameters against what its operation declares, as far as they are known before they are bound."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from penelope.adapters.yaml_model import suggestion
from penelope.adapters.yaml_source import Where
from penelope.domain.action import Operation
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.rooms.plan.binding import names

UNKNOWN_KEY = "unknown key"
"""What a message about a key begins with, that is told where the key stands."""

_ABOUT_KEYS = frozenset({"required", "additionalProperties"})


def misfits(operation: Operation, params: Mapping[str, Json]) -> Iterator[tuple[Where, str]]:
    """Where the parameters do not fit, and why. A value that holds a parameter of the playbook is not judged, for it is
    not known yet; which keys there are is. Values are not shown: one may be a secret.
    """
    schema = to_data(operation.params)
    found: dict[tuple[Where, str], None] = {}
    for error in Draft202012Validator(schema).iter_errors(to_data(params)):
        if error.validator in _ABOUT_KEYS or not any(True for _ in names(error.instance)):
            found |= dict.fromkeys(_told(error))
    yield from found


def _told(error: ValidationError) -> Iterator[tuple[Where, str]]:
    where: Where = tuple(error.absolute_path)
    expected: Any = error.validator_value
    match error.validator:
        case "required":
            # The validator tells of each missing key by itself, without saying which: all are told, and told once.
            for key in expected:
                if key not in error.instance:
                    yield where, f"the key '{key}' is missing"
        case "additionalProperties":
            known = (error.schema if isinstance(error.schema, Mapping) else {}).get("properties", {})
            for key in error.instance.keys() - known.keys():
                yield (*where, key), f"{UNKNOWN_KEY} '{key}'{suggestion(key, known)}"
        case "type":
            kinds = [expected] if isinstance(expected, str) else list(expected)
            yield where, f"must be of type {' or '.join(kinds)}"
        case "enum":
            yield where, f"must be one of {', '.join(map(str, expected))}"
        case "anyOf" | "oneOf":
            yield where, "has none of the shapes that the operation knows"
        case _:
            yield where, f"does not fit what the operation declares ({error.validator}: {expected})"
