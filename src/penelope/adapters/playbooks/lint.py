"""Finds every mistake of a playbook file: of its form, and of what only its parts together show."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from penelope.adapters.playbooks.file import PlaybookFile, RolloutRule
from penelope.adapters.playbooks.lint_parameters import of_parameters
from penelope.adapters.playbooks.lint_steps import Adapters, of_steps
from penelope.adapters.playbooks.operation_params import UNKNOWN_KEY
from penelope.adapters.playbooks.places import Finding
from penelope.adapters.yaml_model import validate
from penelope.adapters.yaml_source import Document, Problem, Where, read
from penelope.errors import InvalidRequest

__all__ = ["Adapters", "check", "lint"]


def lint(path: Path, adapters: Adapters) -> list[Problem]:
    """Every mistake of one file, by line; an empty list means that it can be used."""
    return check(path, adapters)[1]


def check(path: Path, adapters: Adapters | None) -> tuple[PlaybookFile | None, list[Problem]]:
    """The playbook in a file, or None, and its mistakes. Without `adapters`, actions are not looked up."""
    document = read(path)
    playbook, problems = validate(document, PlaybookFile)
    if playbook is None:
        return None, sorted(problems)
    # One mistake may be found in several ways, such as a list of weights that is missing.
    found = dict.fromkeys(_findings(document, playbook, adapters))
    problems = [
        document.problem(where, message, at_key=message.startswith(UNKNOWN_KEY)) for where, message in found
    ]
    return (None if problems else playbook), sorted(problems)


def _findings(document: Document, playbook: PlaybookFile, adapters: Adapters | None) -> Iterator[Finding]:
    yield from of_parameters(document.data, playbook.parameters)
    scope = {name: rule.type for name, rule in playbook.parameters.items()}
    yield from of_steps(document.data, scope, adapters)
    if playbook.rollout:
        yield from _rollout(playbook.rollout)


def _rollout(rollout: RolloutRule) -> Iterator[Finding]:
    where: Where = ("rollout", "steps")
    for index, (before, after) in enumerate(pairwise(rollout.steps), start=1):
        if after <= before:
            yield (*where, index), f"the steps must rise, but {after} follows {before}"
    if rollout.steps[-1] != 100:
        yield where, "the last step must be 100"
    if rollout.canary == rollout.control:
        yield ("rollout", "control"), "canary and control must be two different arms"
    if rollout.max_step < rollout.interval * rollout.looks_per_step:
        yield (
            ("rollout", "max_step"),
            "is shorter than looks_per_step times interval: no step could be promoted",
        )
    try:
        rollout.course()
    except (InvalidRequest, ValueError) as error:
        yield ("rollout",), str(error)
