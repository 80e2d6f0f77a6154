"""Models of dbt and of Cube: a section a model, a cube, a measure."""

from collections.abc import Iterator, Mapping
from typing import Any

from penelope.adapters.documents.front_matter import classification_of
from penelope.adapters.documents.parsed import (
    LeftOut,
    Parsed,
    Section,
    items,
    labelled,
    line,
    names,
    part,
    prose,
    said,
)

_DBT = ("models", "sources", "metrics", "exposures", "semantic_models", "seeds", "snapshots")
_MOST_SECTIONS = 2000
_MOST_COLUMNS = 200


def is_dbt(data: Mapping[str, Any]) -> bool:
    return data.get("version") == 2 and any(isinstance(data.get(key), list) for key in _DBT)


def is_cube(data: Mapping[str, Any]) -> bool:
    return any(items(data.get(key)) and "name" in items(data.get(key))[0] for key in ("cubes", "views"))


def dbt(data: Mapping[str, Any], stem: str) -> Parsed:
    """Raises LeftOut where nothing is described."""
    found: list[Mapping[str, Any]] = []
    sections: list[Section] = []
    for key in _DBT:
        for item in items(data.get(key)):
            found.append(item)
            kind = key.removesuffix("s").replace("_", " ")
            tables = items(item.get("tables")) if key == "sources" else []
            for each in tables or [item]:
                name = line(f"{item.get('name')}.{each.get('name')}" if tables else each.get("name"))
                sections.append(_described(f"{kind} {name}", each, "columns"))
    return _parsed(stem, found, sections)


def cube(data: Mapping[str, Any], stem: str) -> Parsed:
    """Raises LeftOut where nothing is described."""
    found = [*items(data.get("cubes")), *items(data.get("views"))]
    sections: list[Section] = []
    for key in ("cubes", "views"):
        for item in items(data.get(key)):
            name = line(item.get("name"))
            sections.append(_described(f"{key[:-1]} {name}", item, "dimensions"))
            sections += [_measure(name, each) for each in items(item.get("measures"))]
    return _parsed(stem, found, sections)


def _parsed(stem: str, found: list[Mapping[str, Any]], sections: list[Section]) -> Parsed:
    if not sections:
        raise LeftOut("it describes no model")
    given = [part(item, "meta") or part(item, "config", "meta") or {} for item in found]
    said_levels = [level for item in given if (level := classification_of(part(item, "classification")))]
    owners = {owner for item in given if (owner := line(part(item, "owner")))}
    return Parsed(
        kind="model",
        title=", ".join(line(item.get("name"), 40) for item in found[:5]) or stem,
        sections=tuple(sections[:_MOST_SECTIONS]),
        # Of several the strictest: the file is one document.
        classification=max(said_levels, key=list(type(said_levels[0])).index) if said_levels else None,
        owner=owners.pop() if len(owners) == 1 else "",
        services=names([name for item in given for name in names(part(item, "services"))]),
    )


def _described(heading: str, item: Mapping[str, Any], columns: str) -> Section:
    listed = items(item.get(columns))[:_MOST_COLUMNS]
    lines = [
        heading,
        line(item.get("title") or item.get("label")),
        prose(item.get("description"), 4000),
        *_meta(item),
        *(
            f"{line(each.get('name'), 80)}: {line(each.get('description') or each.get('title'), 300)}"
            for each in listed
        ),
    ]
    return Section(heading=heading, text=said(*lines))


def _measure(cube_name: str, item: Mapping[str, Any]) -> Section:
    name = f"{cube_name}.{line(item.get('name'), 80)}"
    lines = (f"measure {name}", line(item.get("title")), prose(item.get("description"), 4000), *_meta(item))
    return Section(heading=f"measure {name}", text=said(*lines, labelled("type", item.get("type"))))


def _meta(item: Mapping[str, Any]) -> Iterator[str]:
    yield labelled("synonyms", names(part(item, "meta", "synonyms")))
    yield labelled("owner", part(item, "meta", "owner"))
    yield labelled("unit", part(item, "meta", "unit"))
