"""What stands before a Markdown text between two lines of ``---``: title, owner, services, classification, kind."""

from collections.abc import Mapping
from typing import Any

from penelope.adapters.documents.parsed import LeftOut
from penelope.adapters.yaml_source import read_all
from penelope.domain.access import Classification

_LONGEST = 16 * 1024


def split(text: str) -> tuple[Mapping[str, Any], str]:
    """The fields and the text after them. Raises LeftOut for what is begun and cannot be read: it may say who may see
    the rest.
    """
    first, _, rest = text.partition("\n")
    if first.rstrip() != "---":
        return {}, text
    lines = rest[:_LONGEST].split("\n")
    ends = next((place for place, item in enumerate(lines) if item.rstrip() in {"---", "..."}), None)
    if ends is None:
        # A rule of Markdown's looks like that too; front matter has a key in its first line.
        if lines[0].partition(":")[0].replace("_", "").isalnum() and ":" in lines[0]:
            raise LeftOut("its front matter has no end")
        return {}, text
    head = "\n".join(lines[:ends])
    body = rest[len(head) + len(lines[ends]) + 2 :] if ends else rest[len(lines[ends]) + 1 :]
    found = read_all(head, "front matter")
    if not found or (found[0].data is None and not found[0].problems):
        return {}, body
    if found[0].problems:
        raise LeftOut(f"its front matter cannot be read: {found[0].problems[0].message}")
    if not isinstance(found[0].data, Mapping):
        raise LeftOut("its front matter is no mapping")
    return found[0].data, body


def classification_of(value: object) -> Classification | None:
    """Raises LeftOut for a word that is no classification: nobody knows then who may see it."""
    if value is None:
        return None
    try:
        return Classification(str(value).strip().casefold())
    except ValueError:
        known = ", ".join(kind.value for kind in Classification)
        raise LeftOut(f"its classification is none of {known}") from None
