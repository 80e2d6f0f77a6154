"""Loads the service catalogue: one file, checked whole, with secrets filled in from the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from penelope.adapters.catalogue.model import (
    BenchmarksRule,
    CountsRule,
    RouterRule,
    ServiceRule,
    ServicesFile,
)
from penelope.adapters.metrics import promql
from penelope.adapters.secrets.reference import SCHEME
from penelope.adapters.yaml_model import validate
from penelope.adapters.yaml_source import Document, Problem, Where, read
from penelope.domain.benchmark import Probe, SuiteName, Suites
from penelope.domain.service import CountsReference, RouterReference, Service, Target
from penelope.errors import InvalidCatalogue
from penelope.kit.canonical import Json

_PATH_OPTIONS = frozenset(
    {"file", "repository", "release_link", "releases", "root", "trash", "receipts", "pid_file"}
)
_PROMETHEUS = "prometheus"
_PLACEHOLDER = re.compile(r"\$\$\{|\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


def load_services(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Service]:
    """The services of a catalogue file by name.

    In options, ``${env:NAME}`` is taken from the environment and ``$${`` is a literal ``${``; ``${secret://…}`` stays in
    those of targets (adapters/secrets). Relative paths count from the file's folder. Raises InvalidCatalogue naming ``file:line:column`` of every mistake; the
    message never holds the value of an option.
    """
    document = read(path)
    content, problems = validate(document, ServicesFile)
    services: dict[str, Service] = {}
    if content is not None:
        loader = _Loader(document, environment, path.resolve().parent)
        services = {name: loader.service(name, rule) for name, rule in content.services.items()}
        problems = [*loader.problems, *_cycles(document, content)]
    if problems:
        raise InvalidCatalogue("\n".join(map(str, sorted(problems))))
    return services


class _Loader:
    """Turns checked rules into services and gathers what is wrong with their options."""

    def __init__(self, document: Document, environment: Mapping[str, str], folder: Path) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._environment = environment
        self._folder = folder

    def service(self, name: str, rule: ServiceRule) -> Service:
        where: Where = ("services", name)
        return Service(
            name=name,
            owner=rule.owner,
            tier=rule.tier,
            dependencies=tuple(rule.dependencies),
            objectives=rule.objectives(),
            metrics=rule.metrics.queries() if rule.metrics else None,
            counts=self._counts(rule.counts, (*where, "counts")) if rule.counts else None,
            router=self._router(rule.router, (*where, "router")) if rule.router else None,
            targets={
                key: Target(
                    name=key,
                    service=name,
                    adapter=target.adapter,
                    options=self._options(target.options, (*where, "targets", key, "options")),
                )
                for key, target in rule.targets.items()
            },
            shard=rule.shard or "",
            twin=rule.twin.spec(self._folder) if rule.twin else None,
            benchmarks=self._benchmarks(rule.benchmarks, (*where, "benchmarks")),
        )

    def _benchmarks(self, rule: BenchmarksRule, where: Where) -> Suites:
        """One baseline is kept for each name: a name stands for the same probe in both suites."""
        suites: dict[SuiteName, tuple[Probe, ...]] = {}
        named: dict[str, Probe] = {}
        for suite in SuiteName:
            probes: list[Probe] = []
            for index, item in enumerate(getattr(rule, suite)):
                at: Where = (*where, suite.value, index)
                probe = item.probe(self._options(item.options, (*at, "options")))
                if probe in probes or named.setdefault(probe.name, probe) != probe:
                    self._complain((*at, "name"), f"the benchmark '{probe.name}' is there already")
                probes.append(probe)
            if probes:
                suites[suite] = tuple(probes)
        return suites

    def _router(self, rule: RouterRule, where: Where) -> RouterReference:
        options = self._options(rule.options, (*where, "options"))
        return RouterReference(kind=rule.kind, options=options, arms=rule.arms)

    def _counts(self, rule: CountsRule, where: Where) -> CountsReference:
        options = self._options(rule.options, (*where, "options"))
        if rule.source == _PROMETHEUS:
            self._check_queries(options.get("queries", {}), (*where, "options", "queries"))
        return CountsReference(source=rule.source, options=options)

    def _check_queries(self, queries: Json, where: Where) -> None:
        """A query that cannot be used is told now, and not first in the middle of a rollout."""
        if not isinstance(queries, dict):
            self._complain(where, "must be queries by their names")
            return
        for name, query in queries.items():
            flaw = promql.flaw_of(query) if isinstance(query, str) else "must be text in PromQL"
            if flaw:
                self._complain((*where, name), flaw)

    def _options(self, options: Mapping[str, Any], where: Where) -> dict[str, Json]:
        filled = {key: self._filled(value, (*where, key)) for key, value in options.items()}
        for key in _PATH_OPTIONS.intersection(filled):
            if isinstance(filled[key], str):
                filled[key] = str(self._folder / filled[key])
            else:
                self._complain((*where, key), "must be a path")
        return filled

    def _filled(self, value: Json, where: Where) -> Json:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: self._replacement(found, where), value)
        if isinstance(value, dict):
            return {key: self._filled(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*where, index)) for index, item in enumerate(value)]
        return value

    def _replacement(self, found: re.Match[str], where: Where) -> str:
        name = found[1]
        if found[0] == "$${":
            return "${"
        if name is None and "targets" in where and found.string.startswith(SCHEME, found.end()):
            return "${"  # a reference to a secret: filled in right before each call of the target's adapter
        if name is None:
            self._complain(where, "'${' must begin ${env:NAME}; write $${ for a literal ${")
        elif name not in self._environment:
            self._complain(where, f"the environment variable {name} is not set")
        return self._environment.get(name or "", "")

    def _complain(self, where: Where, message: str) -> None:
        self.problems.append(self._document.problem(where, message))


def _cycles(document: Document, content: ServicesFile) -> Iterator[Problem]:
    """The first circle of dependencies that there is, at the dependency that closes it."""
    listed = {
        name: [item for item in rule.dependencies if item in content.services]
        for name, rule in content.services.items()
    }
    try:
        TopologicalSorter(listed).prepare()
    except CycleError as error:
        # graphlib lists each service before the one that depends on it.
        circle = [*reversed(error.args[1])]
        index = content.services[circle[0]].dependencies.index(circle[1])
        where: Where = ("services", circle[0], "dependencies", index)
        yield document.problem(where, f"the dependencies go in a circle: {' -> '.join(circle)}")
