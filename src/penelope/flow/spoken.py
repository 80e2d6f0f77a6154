"""What one person said in requests for approval and reviews: to be found, and to be taken out."""

from collections.abc import Iterator, Mapping
from typing import Any

from penelope.domain.work import UnitOfWork
from penelope.kit.canonical import Json

_LISTS = {"votes": ("voter", "reason"), "comments": (None, "text"), "reviews": ("reviewer", "note")}
_HANDED = "delegations"


def words_of(actor: str, unit: UnitOfWork) -> set[str]:
    """Every text that the actor wrote into the unit."""
    found = {item[text] for item, _, text in _items(actor, unit.attributes)}
    if unit.kind == "approval" and unit.attributes.get("decided_by") == actor:
        found.add(unit.attributes["comment"])
    if unit.kind == "break_glass" and unit.attributes.get("actor") == actor:
        found.add(unit.attributes["reason"])
    return found - {""}


def identities_of(actor: str, unit: UnitOfWork) -> set[str]:
    """The identities under which the unit counts the actor."""
    found = {item[identity] for item, identity, _ in _items(actor, unit.attributes) if identity}
    found |= {item["by"] for item in unit.attributes.get(_HANDED, ()) if item.get("actor") == actor}
    if unit.kind == "break_glass" and unit.attributes.get("actor") == actor:
        found.add(unit.attributes["by"])
    return found


def without_words(actor: str, unit: UnitOfWork, instead: str) -> dict[str, Json]:
    """The unit's attributes with another text in the place of each that the actor wrote."""
    attributes = dict(unit.attributes)
    if unit.kind == "approval" and attributes.get("decided_by") == actor and attributes["comment"]:
        attributes["comment"] = instead
    if unit.kind == "break_glass" and attributes.get("actor") == actor:
        attributes["reason"] = instead
    if unit.kind in {"approval", "break_glass"}:
        for name, (_, text) in _LISTS.items():
            if name in attributes:
                attributes[name] = [
                    {**item, text: instead} if item["actor"] == actor and item[text] else item
                    for item in attributes[name]
                ]
    return attributes


def _items(actor: str, attributes: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str | None, str]]:
    """Each item that is the actor's, with the names of the fields that hold an identity and a text."""
    for name, (identity, text) in _LISTS.items():
        items = attributes.get(name, ())
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and item.get("actor") == actor and text in item:
                yield item, identity, text
