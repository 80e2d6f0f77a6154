"""The organisation's rules in Rego, by the embedded evaluator; the same files run on an OPA server."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import regorus

from penelope.adapters.policy.cel import EXAMPLE, LARGEST
from penelope.adapters.policy.evaluator import Sources, evaluator, sources_of
from penelope.adapters.policy.load import files_required
from penelope.adapters.policy.rego_alike import read_differently
from penelope.adapters.policy.rego_calls import forbidden
from penelope.adapters.yaml_source import Problem
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy
from penelope.rooms.gate.facts import MOST_ACTIONS, Facts, document
from penelope.rooms.gate.ports import Objection

ASKED = "data.penelope.gate."
"""The packages below it are asked; all others are libraries."""

SLOWEST_SECONDS = 0.05
"""Processor time that all rules together may take, at load on the largest request, and for each request after that.
Not time on the clock: on a busy machine that says more about others."""

_PLACE = re.compile(r"--> [^:]*:(\d+):(\d+)")
_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)


class Rego:
    """Fulfils Policies: a package that does not allow refuses, and so does one that is undefined, breaks or is slow."""

    def __init__(self, sources: Sources, packages: Sequence[str]) -> None:
        self._sources = sources
        self._packages = tuple(packages)

    def __len__(self) -> int:
        return len(self._packages)

    def objections(self, facts: Facts) -> Sequence[Objection]:
        began = time.thread_time()
        engine = evaluator(self._sources)
        engine.set_input_json(json.dumps(document(facts)))
        found: list[Objection] = []
        for package in self._packages:
            found += self._asked(engine, package)
            if time.thread_time() - began > SLOWEST_SECONDS:
                slow = f"took longer than {SLOWEST_SECONDS * 1000:g} ms"
                return [*found, _refusal(package, slow, broken="slow")]
        return found

    def _asked(self, engine: regorus.Engine, package: str) -> Iterator[Objection]:
        try:
            allowed = json.loads(engine.eval_rule_as_json(f"{package}.allow"))
            # What is undefined reads as the text "<undefined>": only `true` itself is a yes.
            if allowed is True:
                return
            reasons = json.loads(engine.eval_rule_as_json(f"{package}.reasons"))
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
    rego, problems = read_rego(files_required(paths, "*.rego"))
    if rego is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    return rego


def read_rego(files: Sequence[Path]) -> tuple[Rego | None, list[Problem]]:
    """The rules, or None and every mistake that was found."""
    engine, packages, problems = engine_of(files)
    asked = sorted(package for package in packages if package.startswith(ASKED))
    if not problems and (ASKED.removesuffix(".") in packages or (files and not asked)):
        problems.append(
            Problem(str(files[0]), 1, 1, f"only packages below {ASKED.removesuffix('.')} are asked")
        )
    rego = Rego(() if problems else sources_of(engine), asked)
    if not problems:
        problems += _tried(rego, str(files[0]) if files else "")
    return (None if problems else rego), sorted(problems)


def engine_of(files: Sequence[Path]) -> tuple[regorus.Engine, set[str], list[Problem]]:
    """An evaluator with the files in it, their packages, and every mistake: also what is not admitted."""
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
    if not problems:
        trees = json.loads(engine.get_ast_as_json())
        problems += [*forbidden(trees), *read_differently(trees)]
    return engine, packages, problems


def _tried(rego: Rego, file: str) -> Iterator[Problem]:
    """Judges the example with more and more actions, so that what would explode is stopped while it is small."""
    actions = list(EXAMPLE["plan.actions"])
    growing = [{**EXAMPLE, "plan.actions": actions * count} for count in (1, 2, 4, 8, 16, 32, MOST_ACTIONS)]
    for given in (*growing, LARGEST):
        for item in rego.objections(given):
            if item.broken:
                advice = "it needs `default allow := false` and a set `reasons`"
                told = (
                    f"{item.policy} {item.message} (a plan of {len(given['plan.actions'])} actions); {advice}"
                )
                yield Problem(file, 1, 1, told)
                return


def _refusal(package: str, message: str, *, broken: str = "") -> Objection:
    name = package.removeprefix(ASKED)
    return Objection(policy=name, ruling=Ruling.REFUSE, message=message, broken=broken)


def _problem(file: str, text: str) -> Problem:
    place, error = _PLACE.search(text), _ERROR.search(text)
    line, column = (int(place[1]), int(place[2])) if place else (1, 1)
    return Problem(file, line, column, error[1] if error else "cannot be read as Rego")
