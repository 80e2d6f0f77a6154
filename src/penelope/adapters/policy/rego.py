"""The organisation's rules in Rego, by the embedded evaluator; the same files run on an OPA server."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import regorus

from penelope.adapters.policy.builtins import ADMITTED
from penelope.adapters.policy.cel import EXAMPLE
from penelope.adapters.policy.load import files_in
from penelope.adapters.yaml_source import Problem
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy
from penelope.rooms.gate.facts import Facts, document
from penelope.rooms.gate.ports import Objection

ASKED = "data.penelope.gate."
"""The packages below it are asked; all others are libraries."""

MOST_ACTIONS = 50
"""Actions of a plan that the rules are measured with; of a larger plan nobody knows what judging it would cost."""

SLOWEST_SECONDS = 0.05
"""Processor time that all rules together may take, at load on a plan of so many actions, and for each plan after that.
Not time on the clock: on a busy machine that says more about others."""

_PLACE = re.compile(r"--> [^:]*:(\d+):(\d+)")
_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)


class Rego:
    """Fulfils Policies: a package that does not allow refuses, and so does one that is undefined, breaks or is slow."""

    def __init__(self, engine: regorus.Engine, packages: Sequence[str]) -> None:
        self._engine = engine
        self._packages = tuple(packages)

    def __len__(self) -> int:
        return len(self._packages)

    def objections(self, facts: Facts) -> Sequence[Objection]:
        if len(facts["plan.actions"]) > MOST_ACTIONS:
            return [_refusal("rego", f"the plan has more than {MOST_ACTIONS} actions", broken="too large")]
        began = time.thread_time()
        self._engine.set_input_json(json.dumps(document(facts)))
        found: list[Objection] = []
        for package in self._packages:
            found += self._asked(package)
            if time.thread_time() - began > SLOWEST_SECONDS:
                slow = f"took longer than {SLOWEST_SECONDS * 1000:g} ms"
                return [*found, _refusal(package, slow, broken="slow")]
        return found

    def _asked(self, package: str) -> Iterator[Objection]:
        try:
            allowed = json.loads(self._engine.eval_rule_as_json(f"{package}.allow"))
            # What is undefined reads as the text "<undefined>": only `true` itself is a yes.
            if allowed is True:
                return
            reasons = json.loads(self._engine.eval_rule_as_json(f"{package}.reasons"))
        except (RuntimeError, ValueError) as error:
            yield _refusal(package, "could not be judged, so it denies", broken=type(error).__name__)
            return
        if allowed is not False or not isinstance(reasons, list):
            yield _refusal(package, "says neither yes nor no, so it denies", broken="undefined")
            return
        told = "; ".join(sorted(str(item) for item in reasons)) or "does not allow it"
        yield _refusal(package, told)


def load_rego(paths: Sequence[Path]) -> Rego:
    """The rules of files and folders. Raises InvalidPolicy naming ``file:line:column`` of the mistakes."""
    rego, problems = read_rego(files_in(paths, "*.rego"))
    if rego is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    return rego


def read_rego(files: Sequence[Path]) -> tuple[Rego | None, list[Problem]]:
    """The rules, or None and every mistake that was found."""
    engine = regorus.Engine()
    problems: list[Problem] = []
    packages: set[str] = set()
    for file in files:
        try:
            packages.add(engine.add_policy(str(file), file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(file), 1, 1, f"cannot be read ({type(error).__name__})"))
        except RuntimeError as error:
            problems.append(_problem(str(file), str(error)))
    problems += _forbidden(json.loads(engine.get_ast_as_json())) if not problems else []
    asked = sorted(package for package in packages if package.startswith(ASKED))
    if files and not asked and not problems:
        problems.append(Problem(str(files[0]), 1, 1, f"no package is below {ASKED.removesuffix('.')}"))
    rego = Rego(engine, asked)
    if not problems:
        problems += _tried(rego, str(files[0]) if files else "")
    return (None if problems else rego), sorted(problems)


def _tried(rego: Rego, file: str) -> Iterator[Problem]:
    """Judges the example with more and more actions, so that what would explode is stopped while it is small."""
    for count in (1, 2, 4, 8, 16, 32, MOST_ACTIONS):
        actions = list(EXAMPLE["plan.actions"]) * count
        for item in rego.objections({**EXAMPLE, "plan.actions": actions}):
            if item.broken:
                advice = "it needs `default allow := false` and a set `reasons`"
                yield Problem(
                    file, 1, 1, f"{item.policy} {item.message} (a plan of {count} actions); {advice}"
                )
                return


def _forbidden(modules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Calls of functions that are neither admitted nor defined in the files themselves."""
    own = {name for module in modules for name in _defined(module["ast"])}
    for module in modules:
        for call in _calls(module["ast"]):
            name = _name(call["fcn"])
            if name not in ADMITTED and name.rpartition(".")[2] not in own:
                span = call["span"]
                message = f"the function {name} is not admitted; docs/policy.md lists those that are"
                yield Problem(module["source"]["file"], span["line"], span["col"], message)


def _defined(node: Any) -> Iterator[str]:
    """The names of the functions that a module defines."""
    for rule in node.get("rules") or node.get("policy") or ():
        head = (rule.get("Spec") or {}).get("head") or {}
        if "Func" in head:
            yield _name(head["Func"]["refr"])


def _calls(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Call":
                yield value
            yield from _calls(value)
    elif isinstance(node, list):
        for value in node:
            yield from _calls(value)


def _name(node: Mapping[str, Any]) -> str:
    if "Var" in node:
        return str(node["Var"]["value"])
    if "RefDot" in node:
        return f"{_name(node['RefDot']['refr'])}.{node['RefDot']['field'][1]}"
    return "?"


def _refusal(package: str, message: str, *, broken: str = "") -> Objection:
    name = package.removeprefix(ASKED)
    return Objection(policy=name, ruling=Ruling.REFUSE, message=message, broken=broken)


def _problem(file: str, text: str) -> Problem:
    place, error = _PLACE.search(text), _ERROR.search(text)
    line, column = (int(place[1]), int(place[2])) if place else (1, 1)
    return Problem(file, line, column, error[1] if error else "cannot be read as Rego")
