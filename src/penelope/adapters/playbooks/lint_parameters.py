"""Mistakes of parameters: undeclared, unused, of the wrong type, and what strangers could write into them."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from penelope.adapters.playbooks.file import ParameterRule
from penelope.adapters.playbooks.places import Finding, Words, places, words
from penelope.adapters.yaml_model import suggestion
from penelope.adapters.yaml_source import Where
from penelope.kit.canonical import Json
from penelope.kit.pattern import pattern
from penelope.rooms.plan.binding import malformed, names
from penelope.rooms.plan.parameters import LABEL, beyond, typed_as

Declared = Mapping[str, ParameterRule]

_NUMBERS = frozenset({"integer", "number"})
_TEXTS = frozenset({"string", "list"})
_HOSTILE = ("--help", "../../etc/passwd", "$(reboot)", "a;b", "a b", "x'; --")
"""A pattern that lets all of these through bounds nothing."""


def of_parameters(data: Json, declared: Declared) -> Iterator[Finding]:
    """Every mistake in how parameters are declared and used."""
    scope = {name: rule.type for name, rule in declared.items()}
    used: set[str] = set()
    for text in words(data, scope):
        used.update(names(text.text))
        yield from _of_text(text)
    for place in places(data, scope):
        if place.kind == "foreach":
            used.add(place.item["foreach"])
    for name, rule in declared.items():
        if name not in used:
            yield ("parameters", name), f"the parameter '{name}' is declared but not used"
        where: Where = ("parameters", name)
        yield from chain(_of_bounds(where, rule), _of_values(where, name, rule), _of_source(where, rule))


def _of_text(words: Words) -> Iterator[Finding]:
    where, text, scope = words.where, words.text, words.scope
    if malformed(text):
        yield where, "'${' must begin a parameter such as ${name}; write $${ for a literal ${"
    for name in names(text):
        kind = scope.get(name)
        if kind is None:
            yield where, f"the parameter '{name}' is not declared{suggestion(name, scope)}"
        elif words.role == "bound" and kind not in _NUMBERS:
            yield where, f"the parameter '{name}' is a {kind}, not a number"
        elif words.role == "target" and kind != "string":
            yield where, f"the parameter '{name}' is a {kind}, not the name of a target"
        elif kind == "list" and (words.role == "name" or not re.fullmatch(r"\$\{\w+\}", text)):
            yield where, f"the parameter '{name}' is a list; it can only stand for a whole value"


def _of_bounds(where: Where, rule: ParameterRule) -> Iterator[Finding]:
    """Bounds that do not fit the type, or each other."""
    if rule.pattern and rule.type not in _TEXTS:
        yield (*where, "pattern"), f"a pattern is for texts, not for a {rule.type}"
    for key, bound in (("at_least", rule.at_least), ("at_most", rule.at_most)):
        if bound is None:
            continue
        if rule.type == "boolean":
            yield (*where, key), "true and false have no bounds"
        elif rule.type in _TEXTS and (bound < 0 or bound % 1):
            yield (*where, key), f"is the length of a {rule.type}, so it must be a whole number from 0"
    if rule.at_least is not None and rule.at_most is not None and rule.at_least > rule.at_most:
        yield (*where, "at_most"), f"is less than at_least, {rule.at_least:g}"
    item = "string" if rule.type == "list" else rule.type
    for index, choice in enumerate(rule.choices):
        if not _is_of_type(item, choice):
            yield (*where, "choices", index), f"must be of type {item}"


def _of_values(where: Where, name: str, rule: ParameterRule) -> Iterator[Finding]:
    if rule.default is None:
        return
    if not _is_of_type(rule.type, rule.default):
        yield (*where, "default"), f"must be of type {rule.type}"
    elif why := beyond(rule.parameter(name), typed_as(rule.type, rule.default)):
        yield (*where, "default"), f"breaks its own bounds: it {why}"


def _of_source(where: Where, rule: ParameterRule) -> Iterator[Finding]:
    """Whoever can send an alert writes its labels: what they may bring into a plan is said beforehand."""
    if not rule.source.startswith(LABEL):
        return
    where = (*where, "from")
    bounded = rule.at_least is not None and rule.at_most is not None
    if rule.type == "list":
        yield where, "a label is one text, not a list"
    elif rule.type == "string" and not rule.pattern and not rule.choices:
        yield where, "whoever sends an alert writes its labels: bound the text by 'pattern' or 'choices'"
    elif rule.type == "string" and not rule.choices and all(map(pattern(rule.pattern).matches, _HOSTILE)):
        yield (*where[:-1], "pattern"), "lets anything through; say which characters the label may have"
    elif rule.type in _NUMBERS and not rule.choices and not bounded:
        hint = "bound the number by 'at_least' and 'at_most', or by 'choices'"
        yield where, f"whoever sends an alert writes its labels: {hint}"


def _is_of_type(kind: str, value: Json) -> bool:
    """Strictly, for the file's author wrote it: 3.0 is no integer here."""
    return typed_as(kind, value) is not None and (kind != "integer" or isinstance(value, int))
