"""Makes a registry of what others have defined: a data model, the service catalogue, playbooks, corrections."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from penelope.domain.access import Classification
from penelope.domain.concept import Correction, Definition, DefinitionKind
from penelope.domain.semantics import Member, MemberKind, Model
from penelope.domain.service import Service
from penelope.kit.canonical import Json
from penelope.rooms.context.registry import Registry

MOST_SYNONYMS, MOST_VALUES, LONGEST_NAME = 100, 5_000, 200
"""Synonyms of a definition, values of a dimension, and characters of each: what is beyond is left out."""

_KINDS = {
    MemberKind.MEASURE: DefinitionKind.METRIC,
    MemberKind.DIMENSION: DefinitionKind.DIMENSION,
    MemberKind.SEGMENT: DefinitionKind.SEGMENT,
}


def registry_of(
    model: Model,
    *,
    services: Iterable[Service] = (),
    runbooks: Mapping[str, str] | None = None,
    more: Iterable[Definition] = (),
    corrections: Iterable[Correction] = (),
) -> Registry:
    """`runbooks` are titles by name. Of definitions of one name the first stands: members, services, runbooks, more.

    Members that a model keeps to itself (``public: false``) are no definitions, and those of views only where no member of
    a cube has their title. Raises BadRegistry.
    """
    found: dict[str, Definition] = {}
    members = _shown(model)
    for definition in (
        *(definition_of(member) for member in members),
        *_services(services),
        *_runbooks(runbooks or {}),
        *more,
    ):
        found.setdefault(definition.name, definition)
    return Registry(
        found.values(),
        joins=model.joins,
        corrections=corrections,
        times=_times(members),
    )


def definition_of(member: Member) -> Definition:
    """A member by its ``meta``, of which nothing is believed: what has another shape than it should is left out."""
    meta = member.meta
    return Definition(
        name=member.name,
        kind=_KINDS[member.kind],
        title=member.title or member.name,
        description=member.description,
        unit=_text(meta.get("unit")),
        owner=_text(meta.get("owner")),
        region=_text(meta.get("region")),
        version=_text(meta.get("version")),
        certified=meta.get("certified") is True,
        deprecated=_deprecated(meta.get("deprecated")),
        classification=_classification(meta.get("classification")),
        synonyms=_texts(meta.get("synonyms"), MOST_SYNONYMS),
        values=_values(meta.get("values")),
        source="semantic",
        is_time=member.type == "time",
    )


def _services(services: Iterable[Service]) -> Iterator[Definition]:
    owners: set[str] = set()
    for service in services:
        owners.add(service.owner)
        yield Definition(
            name=f"service:{service.name}",
            kind=DefinitionKind.SERVICE,
            title=service.name,
            owner=service.owner,
            certified=True,
            classification=Classification.INTERNAL,
            source="catalogue",
        )
    for owner in sorted(owners - {""}):
        yield Definition(
            name=f"team:{owner}",
            kind=DefinitionKind.TEAM,
            title=owner,
            certified=True,
            classification=Classification.INTERNAL,
            source="catalogue",
        )


def _runbooks(runbooks: Mapping[str, str]) -> Iterator[Definition]:
    for name, title in runbooks.items():
        yield Definition(
            name=f"runbook:{name}",
            kind=DefinitionKind.RUNBOOK,
            title=title or name,
            certified=True,
            classification=Classification.INTERNAL,
            source="playbooks",
        )


def _times(members: Iterable[Member]) -> dict[str, str]:
    """By which time a cube or a single measure is asked: what its ``meta.time`` names, or the only one that its cube has.

    In the meta of a time dimension ``time: true`` marks it for its cube; in that of a measure it is the name of one.
    """
    named: dict[str, str] = {}
    all_of: defaultdict[str, list[str]] = defaultdict(list)
    for member in members:
        cube, time = member.name.partition(".")[0], member.meta.get("time")
        if member.type == "time" and member.kind is MemberKind.DIMENSION:
            all_of[cube].append(member.name)
            if time is True:
                named.setdefault(cube, member.name)
        elif isinstance(time, str):
            named[member.name] = time
    return {cube: names[0] for cube, names in all_of.items() if len(names) == 1} | named


def _shown(model: Model) -> tuple[Member, ...]:
    """The members that are public, without those of views that only repeat one of a cube."""
    shown = [member for member in model.members if member.public]
    titles = {
        (member.kind, member.title) for member in shown if member.name.partition(".")[0] not in model.views
    }
    return tuple(
        member
        for member in shown
        if member.name.partition(".")[0] not in model.views or (member.kind, member.title) not in titles
    )


def _text(value: Json) -> str:
    return value[:LONGEST_NAME] if isinstance(value, str) else ""


def _texts(value: Json, most: int) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return ()
    return tuple(text for item in value[:most] if (text := _plain(item)))


def _plain(item: Json) -> str:
    if isinstance(item, bool):
        return ""
    return str(item)[:LONGEST_NAME] if isinstance(item, str | int) else ""


def _deprecated(value: Json) -> str:
    return "yes" if value is True else _text(value)


def _classification(value: Json) -> Classification:
    try:
        return Classification(value.lower()) if isinstance(value, str) else Classification.CONFIDENTIAL
    except ValueError:
        return Classification.CONFIDENTIAL


def _values(value: Json) -> dict[str, tuple[str, ...]]:
    """The values of a dimension: a list of them, or each with the words for it."""
    if isinstance(value, Mapping):
        items = list(value.items())[:MOST_VALUES]
        return {text: _texts(words, MOST_SYNONYMS) for item, words in items if (text := _plain(item))}
    return dict.fromkeys(_texts(value, MOST_VALUES), ())
