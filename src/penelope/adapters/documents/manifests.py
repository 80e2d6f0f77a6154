"""Manifests of Kubernetes and entities of a Backstage catalogue: a section an object.

Values that may be secrets are left out: data of Secrets and ConfigMaps, values of environment variables, arguments.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penelope.adapters.documents.front_matter import classification_of
from penelope.adapters.documents.parsed import (
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

_NAME = "app.kubernetes.io/name"
_CLASSIFICATION = "penelope/classification"
_OWNER = "penelope/owner"
_MOST_OBJECTS = 2000


def is_manifest(data: Mapping[str, Any]) -> bool:
    return all(isinstance(data.get(key), str) for key in ("apiVersion", "kind"))


def is_backstage(data: Mapping[str, Any]) -> bool:
    return is_manifest(data) and data["apiVersion"].startswith("backstage.io/")


def kubernetes(objects: Sequence[Mapping[str, Any]]) -> Parsed:
    sections, services, levels, owners = [], [], [], set()
    for item in objects[:_MOST_OBJECTS]:
        name = line(part(item, "metadata", "name"))
        heading = f"{line(item['kind'])} {name}"
        sections.append(Section(heading=heading, text=said(heading, *_object(item))))
        services.append(line(part(item, "metadata", "labels", _NAME)))
        notes = part(item, "metadata", "annotations")
        levels.append(classification_of(part(notes, _CLASSIFICATION)))
        owners.add(line(part(notes, _OWNER)))
    known = [level for level in levels if level]
    owners.discard("")
    return Parsed(
        kind="manifest",
        title=", ".join(section.heading for section in sections[:3]),
        sections=tuple(sections),
        classification=max(known, key=list(type(known[0])).index) if known else None,
        owner=owners.pop() if len(owners) == 1 else "",
        services=names(services),
    )


def _object(item: Mapping[str, Any]) -> Iterator[str]:
    metadata, spec = part(item, "metadata"), part(item, "spec")
    yield labelled("namespace", part(metadata, "namespace"))
    yield labelled(
        "labels",
        tuple(f"{line(key, 80)}={line(value, 80)}" for key, value in entries(part(metadata, "labels"))[:20]),
    )
    yield labelled("replicas", part(spec, "replicas"))
    if item["kind"] in {"Secret", "ConfigMap"}:
        keys = [key for field in ("data", "stringData") for key, _ in entries(item.get(field))]
        yield labelled("keys", tuple(line(key, 80) for key in keys[:100]))
        return
    yield labelled("schedule", part(spec, "schedule"))
    for port in items(part(spec, "ports"))[:20]:
        yield labelled("port", f"{line(port.get('name'), 40)} {line(port.get('port'))}".strip())
    for rule in items(part(spec, "rules"))[:20]:
        yield labelled("host", part(rule, "host"))
    template = part(spec, "template", "spec") or part(spec, "jobTemplate", "spec", "template", "spec")
    for container in items(part(template, "containers"))[:20]:
        yield from _container(container)


def _container(item: Mapping[str, Any]) -> Iterator[str]:
    yield labelled(f"container {line(item.get('name'), 80)} image", item.get("image"))
    yield labelled("environment", tuple(line(each.get("name"), 80) for each in items(item.get("env"))[:100]))
    for kind in ("requests", "limits"):
        given = entries(part(item, "resources", kind))[:10]
        yield labelled(kind, tuple(f"{line(key, 40)} {line(value, 40)}" for key, value in given))
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield labelled(probe, part(item, probe, "httpGet", "path"))


def backstage(entities: Sequence[Mapping[str, Any]]) -> Parsed:
    sections = []
    for item in entities[:_MOST_OBJECTS]:
        heading = f"{line(item['kind'])} {line(part(item, 'metadata', 'name'))}"
        sections.append(Section(heading=heading, text=said(heading, *_entity(item))))
    owners = {owner for item in entities if (owner := line(part(item, "spec", "owner")))}
    components = [part(item, "metadata", "name") for item in entities if item["kind"] == "Component"]
    notes = [part(item, "metadata", "annotations", _CLASSIFICATION) for item in entities]
    known = [level for level in map(classification_of, notes) if level]
    return Parsed(
        kind="ownership",
        title=", ".join(section.heading for section in sections[:3]),
        sections=tuple(sections),
        classification=max(known, key=list(type(known[0])).index) if known else None,
        owner=owners.pop() if len(owners) == 1 else "",
        services=names(components),
    )


def _entity(item: Mapping[str, Any]) -> Iterator[str]:
    metadata, spec = part(item, "metadata"), part(item, "spec")
    yield line(part(metadata, "title"))
    yield prose(part(metadata, "description"), 4000)
    yield labelled("tags", names(part(metadata, "tags")))
    for key in ("type", "lifecycle", "owner", "system", "domain"):
        yield labelled(key, part(spec, key))
    for key, words in _RELATIONS.items():
        yield labelled(words, names(part(spec, key)))
    for link in items(part(metadata, "links"))[:20]:
        yield labelled(line(link.get("title")) or "link", link.get("url"))


_RELATIONS = {
    "dependsOn": "depends on",
    "providesApis": "provides",
    "consumesApis": "consumes",
    "members": "members",
    "memberOf": "member of",
    "children": "children",
}
