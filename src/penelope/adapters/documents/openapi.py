"""OpenAPI and Swagger documents: a section an operation."""

from collections.abc import Iterator, Mapping
from typing import Any

from penelope.adapters.documents.front_matter import classification_of
from penelope.adapters.documents.parsed import (
    LeftOut,
    Parsed,
    Section,
    entries,
    items,
    labelled,
    line,
    names,
    part,
    prose,
    said,
)

_METHODS = frozenset(["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"])
_MOST_OPERATIONS = 2000
_MOST_FIELDS = 60


def is_one(data: Mapping[str, Any]) -> bool:
    return ("openapi" in data or "swagger" in data) and isinstance(data.get("info"), Mapping)


def read(data: Mapping[str, Any]) -> Parsed:
    """Raises LeftOut for one that describes no operation."""
    info = data["info"]
    title = line(info.get("title")) or "API"
    sections = [Section(heading="", text=said(title, prose(info.get("description"))))]
    for path, methods in entries(data.get("paths")):
        for method, operation in entries(methods):
            if (
                method.casefold() in _METHODS
                and isinstance(operation, Mapping)
                and len(sections) <= _MOST_OPERATIONS
            ):
                heading = f"{method.upper()} {line(path)}"
                sections.append(Section(heading=heading, text=said(heading, *_operation(data, operation))))
    if len(sections) == 1:
        raise LeftOut("it describes no operation")
    return Parsed(
        kind="api",
        title=title,
        sections=tuple(sections),
        classification=classification_of(info.get("x-classification")),
        owner=line(info.get("x-owner")) or line(part(info, "contact", "name")),
        services=names(info.get("x-services") or info.get("x-service")),
    )


def _operation(data: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    yield line(operation.get("summary"), 500)
    yield prose(operation.get("description"), 4000)
    yield labelled("operation", operation.get("operationId"))
    yield labelled("tags", names(operation.get("tags")))
    if operation.get("deprecated") is True:
        yield "deprecated"
    for each in items(operation.get("parameters"))[:_MOST_FIELDS]:
        given = _followed(data, each)
        yield labelled(f"parameter {line(given.get('name'))}", given.get("description"))
    for _, content in entries(part(_followed(data, operation.get("requestBody")), "content"))[:3]:
        yield labelled("body", _fields(data, part(content, "schema")))
    for status, response in entries(operation.get("responses"))[:20]:
        followed = _followed(data, response)
        yield labelled(f"response {line(status)}", followed.get("description"))
        for _, content in entries(followed.get("content"))[:1]:
            yield labelled("fields", _fields(data, part(content, "schema")))


def _fields(data: Mapping[str, Any], schema: object) -> tuple[str, ...]:
    given = _followed(data, schema)
    if isinstance(given.get("items"), Mapping):
        given = _followed(data, given["items"])
    return tuple(line(name, 80) for name, _ in entries(given.get("properties"))[:_MOST_FIELDS])


def _followed(data: Mapping[str, Any], value: object) -> Mapping[str, Any]:
    """What a reference inside the document leads to, once: a chain or circle of them leads no further."""
    if not isinstance(value, Mapping):
        return {}
    reference = value.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return value
    keys = [key.replace("~1", "/").replace("~0", "~") for key in reference[2:].split("/")]
    found = part(data, *keys[:20])
    return found if isinstance(found, Mapping) else {}
