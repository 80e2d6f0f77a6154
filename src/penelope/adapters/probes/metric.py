"""A figure that the service tells of itself, by its metrics."""

import re
from datetime import datetime
from typing import Self

import msgspec

from penelope.adapters.probes.installed import Surroundings, read, where
from penelope.domain.benchmark import Measurement, Probe
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue
from penelope.rooms.verify.ports import MetricReader
from penelope.rooms.verify.run import observe

_SUBJECT = re.compile(r"metric\.[a-z][a-z0-9_]{0,127}(@[A-Za-z0-9_-]{1,64})?")


class MetricOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`subject` is written as in a contract; figures are of the last `window_seconds`, at most."""

    subject: str
    window_seconds: float = 60.0


class MetricProbe:
    """Reads one metric, of what was sampled since the run began or the change was made."""

    name = "metric"

    def __init__(self, metrics: MetricReader) -> None:
        self._metrics = metrics

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(surroundings.metrics)

    @staticmethod
    def check(service: Service, probe: Probe) -> None:
        options = read(MetricOptions, service, probe)
        if _SUBJECT.fullmatch(options.subject) is None:
            raise InvalidCatalogue(f"{where(service, probe)} needs a subject such as metric.error_ratio")
        if not 0 < options.window_seconds <= 3600:
            raise InvalidCatalogue(f"{where(service, probe)} needs window_seconds above 0 and at most 3600")

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Measurement:
        options = read(MetricOptions, service, probe)
        clause = Clause(subject=options.subject, comparator=Comparator.AT_LEAST, expected=0)
        contract = Contract(clauses=(clause,), deadline_seconds=0)
        window = options.window_seconds
        seen = await observe(contract, service, None, self._metrics, None, since=since, window_seconds=window)
        value = seen.get(options.subject)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Measurement(note=f"{options.subject} is not known")
        return Measurement(figure=float(value))
