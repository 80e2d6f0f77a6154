"""Finds a parameter's value, and holds it against its type and its bounds."""

import re
from collections.abc import Sequence

from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident
from penelope.domain.plan import Parameter
from penelope.kit.canonical import Json, canonical
from penelope.kit.pattern import pattern

LABEL = "label."
"""What the source of a parameter begins with that is bound from a label of the incident."""

MOST_ITEMS = 1000
"""Items of a list; a longer one is no evidence that a plan could be made from."""

LONGEST_TEXT = 1024
"""Characters of a text that is held against a pattern."""

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


class Unbindable(Exception):
    """Why one playbook cannot be bound; the next one may."""


def value_of(parameter: Parameter, incident: Incident, dossier: Dossier) -> Json:
    """The parameter's value: what its source says, or the default where that says nothing. Raises Unbindable."""
    source = parameter.source or ""
    value, note = _found(parameter, incident, dossier)
    if value is None:
        value, source = parameter.default, ""
    if value is None:
        why = f" ({note})" if note else ""
        raise Unbindable(f"parameter {parameter.name} needs {parameter.source}, which is unknown{why}")
    typed = typed_as(parameter.kind, value)
    if typed is None:
        origin = source or "its default"
        raise Unbindable(f"parameter {parameter.name} must be of type {parameter.kind}, but {origin} is not")
    if why := beyond(parameter, typed):
        raise Unbindable(f"parameter {parameter.name} {why}")
    return typed


def _found(parameter: Parameter, incident: Incident, dossier: Dossier) -> tuple[Json, str]:
    """What the source says, and a note where it says nothing."""
    if not parameter.source:
        return None, ""
    if parameter.source.startswith(LABEL):
        text = incident.labels.get(parameter.source.removeprefix(LABEL))
        if text is None:
            return None, "the incident has no such label"
        return _from_text(parameter.kind, text), ""
    found = dossier.get(parameter.source)
    return (None, "") if found is None else (found.value, found.note)


def _from_text(kind: str, text: str) -> Json:
    """What a label says, for labels are always texts; one that says nothing of the kind stays the text that it is."""
    match kind:
        case "integer" if _WHOLE.fullmatch(text):
            return int(text)
        case "number" if _NUMBER.fullmatch(text):
            return float(text)
        case "boolean" if text in {"true", "false"}:
            return text == "true"
        case _:
            return text


def typed_as(kind: str, value: Json) -> Json:
    """The value if it is of the kind, otherwise None. Figures are floats: a whole one is an integer too."""
    try:
        canonical(value)
    except (TypeError, ValueError):
        return None  # NaN and the like: a plan could not be written down with it
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "string" | "boolean" if isinstance(value, str if kind == "string" else bool):
            return value
        case "number" if is_number:
            return value
        case "integer" if is_number and value == int(value):
            return int(value)
        case "list" if isinstance(value, list | tuple) and len(value) <= MOST_ITEMS:
            return list(value) if all(isinstance(item, str) for item in value) else None
        case _:
            return None


def beyond(parameter: Parameter, value: Json) -> str:
    """How a value of the right type breaks the parameter's bounds; empty where it keeps them. Shows no text, for it may
    be a stranger's.
    """
    items: Sequence[Json] = value if isinstance(value, list) else (value,)
    subject = "has an item that" if isinstance(value, list) else "has a value that"
    if parameter.choices and not all(_among(item, parameter.choices) for item in items):
        return f"{subject} is not one of {canonical(list(parameter.choices)).decode()}"
    if why := _out_of_range(parameter, value):
        return why
    if parameter.pattern is not None:
        if any(isinstance(item, str) and len(item) > LONGEST_TEXT for item in items):
            return f"{subject} is longer than {LONGEST_TEXT} characters"
        follows = pattern(parameter.pattern).matches
        if not all(isinstance(item, str) and follows(item) for item in items):
            return f"{subject} does not follow its pattern {parameter.pattern}"
    return ""


def _among(item: Json, choices: Sequence[Json]) -> bool:
    """Whether it is one of them; true is not 1 here."""
    return any(item == choice and isinstance(item, bool) == isinstance(choice, bool) for choice in choices)


def _out_of_range(parameter: Parameter, value: Json) -> str:
    if isinstance(value, bool):
        return ""
    unit = {"list": " items", "string": " characters"}.get(parameter.kind, "")
    size = len(value) if isinstance(value, str | list) else value
    for bound, sign, word in ((parameter.at_least, 1, "least"), (parameter.at_most, -1, "most")):
        if bound is not None and size * sign < bound * sign:
            return f"must be at {word} {bound:g}{unit}, is {size:.6g}{unit}"
    return ""
