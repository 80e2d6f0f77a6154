"""Fills ``${name}`` in templates: once, from the outside in, so that a value is data and never a template."""

import re
from collections.abc import Iterator, Mapping

from penelope.kit.canonical import Json, canonical

# `$${` is taken first: it stands for a literal `${`.
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([a-z][a-z0-9_]*)\}")
_OPENING = re.compile(r"\$\$\{|\$\{([a-z][a-z0-9_]*\})?")


def bind(template: Json, values: Mapping[str, Json]) -> Json:
    """The template with every parameter filled in, in values, not in keys of mappings.

    A text that is one placeholder and nothing else becomes the value with its type; inside a longer text
    the value is written as text, numbers and booleans as in JSON. Raises KeyError for an unknown name.
    """
    if isinstance(template, str):
        return _bind_text(template, values)
    if isinstance(template, Mapping):
        return {key: bind(item, values) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [bind(item, values) for item in template]
    return template


def _bind_text(text: str, values: Mapping[str, Json]) -> Json:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole and whole[1]:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: _written(values[found[1]]) if found[1] else "${", text)


def _written(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def names(template: Json) -> Iterator[str]:
    """The names that a template uses, in order, as often as it uses them."""
    for text in _texts(template):
        yield from (found[1] for found in _PLACEHOLDER.finditer(text) if found[1])


def malformed(template: Json) -> bool:
    """Whether some ``${`` of the template is neither a placeholder nor escaped."""
    return any(found[0] == "${" for text in _texts(template) for found in _OPENING.finditer(text))


def _texts(template: Json) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for item in template.values():
            yield from _texts(item)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from _texts(item)
