"""Which kind of document a file is, by what is in it, and what it says."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import orjson

from penelope.adapters.documents import html, manifests, markdown, models, openapi
from penelope.adapters.documents.parsed import LeftOut, Parsed, Section, line, said
from penelope.adapters.yaml_source import read_all

_LONGEST_YAML = 512 * 1024
"""The reader of YAML takes some seconds for a megabyte."""
_PLAIN = frozenset({".txt", ".text", ".rst", ".adoc", ""})
_MARKDOWN = frozenset({".md", ".markdown", ".mdx"})
_YAML = frozenset({".yaml", ".yml"})
_HTML = frozenset({".html", ".htm", ".xhtml"})
_BINARY = 8192
"""Bytes in which a NUL tells that it is no text, as git looks for one."""
_MOST_RULES = 50


def read(content: bytes, path: PurePath) -> Parsed:
    """What a file says. Raises LeftOut for what is not indexed, with the reason."""
    if b"\x00" in content[:_BINARY]:
        raise LeftOut("it is binary")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LeftOut(f"it is not UTF-8: byte {error.start} is no part of a character") from None
    suffix = path.suffix.casefold()
    begins = text[:1024].lstrip().casefold()
    if begins.startswith(("<!doctype html", "<html")) or suffix in _HTML:
        return html.read(text, path)
    if path.name == "CODEOWNERS":
        return _code_owners(text)
    if suffix == ".json" or begins.startswith("{"):
        return _structured([_json(text)], path)
    if suffix in _YAML:
        return _structured(_yaml(text, str(path)), path)
    if suffix in _MARKDOWN or (suffix in _PLAIN and begins.startswith(("# ", "---\n", "---\r"))):
        return markdown.read(text, path)
    if suffix in _PLAIN:
        return markdown.plain(text, path)
    raise LeftOut("it is of no kind that is indexed")


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(text: str) -> Any:
    try:
        return orjson.loads(text.encode())
    except orjson.JSONDecodeError as error:
        raise LeftOut(f"it is not JSON: {line(str(error))}") from None


def _yaml(text: str, file: str) -> list[Any]:
    if len(text) > _LONGEST_YAML:
        raise LeftOut(f"it is YAML of more than {_LONGEST_YAML // 1024} KiB")
    found = read_all(text, file)
    problem = next((problem for document in found for problem in document.problems), None)
    if problem is not None:
        raise LeftOut(f"line {problem.line}: {line(problem.message)}")
    return [document.data for document in found if document.data is not None]


def _structured(given: list[Any], path: PurePath) -> Parsed:
    objects = [item for item in given if isinstance(item, Mapping)]
    if not objects:
        raise LeftOut("it is of no kind that is indexed")
    first = objects[0]
    if openapi.is_one(first):
        return openapi.read(first)
    if models.is_dbt(first):
        return models.dbt(first, path.stem)
    if models.is_cube(first):
        return models.cube(first, path.stem)
    if all(map(manifests.is_backstage, objects)):
        return manifests.backstage(objects)
    if all(map(manifests.is_manifest, objects)):
        return manifests.kubernetes(objects)
    raise LeftOut("it is of no kind that is indexed")


def _code_owners(text: str) -> Parsed:
    """Lines as sentences, some fifty a section (https://docs.github.com/articles/about-code-owners)."""
    rules = [fields for each in text.splitlines() if (fields := each.partition("#")[0].split())]
    told = [f"{line(pattern)} is owned by {line(' '.join(owners)) or 'nobody'}" for pattern, *owners in rules]
    if not told:
        raise LeftOut("it is empty")
    parts = [told[at : at + _MOST_RULES] for at in range(0, len(told), _MOST_RULES)]
    return Parsed(
        kind="ownership",
        title="Code owners",
        sections=tuple(Section(heading="", text=said(*each)) for each in parts),
    )
