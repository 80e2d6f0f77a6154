"""The server's metrics."""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite, nan
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from penelope.domain.access import Access
from penelope.domain.answer import Told
from penelope.domain.constitution import Article
from penelope.domain.degradation import DegradationMode, Store
from penelope.domain.deployment import Deployment
from penelope.domain.halt import FLEET, ScopeKind
from penelope.domain.incident import IncidentState
from penelope.domain.work import Entry
from penelope.flow.log import Lag
from penelope.flow.ports import AskedCounts
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import GuardState
from penelope.ledger.buffer import Counts
from penelope.rooms.learn.compliance import Compliance
from penelope.telemetry.counting import RULES, SPANS, Rule, Span, items_of, labels_of
from penelope.telemetry.names import LONGEST_LABEL_VALUE, METRICS, MOST_LABEL_VALUES, Metric

_MOST_BEGUN = 10_000
"""Spans that are waited for at a time. Many incidents end before anybody decides about them, and so never end theirs."""

_HALT_STATES = {"closed": 0, "half_open": 1, "open": 2, "unreadable": 3}
_BREAKER_STATES = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_KINDS = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}

# When a counter was made interests nobody, yet doubles the page; the client has only this one switch for all.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has it so


class Telemetry:
    """The server's metrics, in a registry of their own so that two servers in one process do not mix.

    Fulfils the port `Observer` of `flow`. No method raises for an odd value: telemetry must not stop the story.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._metrics = {metric.name: _make(metric, self._registry) for metric in METRICS}
        self._seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._begun: dict[tuple[str, str], datetime] = {}
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def entry_recorded(self, entry: Entry) -> None:
        """Counts what an entry of the ledger says; `flow` calls it once the entry is durable."""
        self._count("penelope_ledger_entries_total", {"event": entry.event})
        for rule in RULES.get(entry.event, ()):
            if rule.counts(entry):
                self._apply(rule, entry)
        for span in SPANS:
            self._measure(span, entry)

    def _apply(self, rule: Rule, entry: Entry) -> None:
        for item in [entry.details] if rule.each is None else items_of(entry.details, rule.each):
            labels = labels_of(rule.labels, entry, item)
            if rule.seconds is None:
                self._count(rule.metric, labels)
            else:
                self._time(rule.metric, labels, item.get(rule.seconds))

    def _measure(self, span: Span, entry: Entry) -> None:
        key = (span.metric, entry.unit if span.by == "unit" else entry.incident)
        if entry.event == span.begins:
            self._begun[key] = entry.recorded_at
            if len(self._begun) > _MOST_BEGUN:
                del self._begun[next(iter(self._begun))]
        elif entry.event in span.ends and (begun := self._begun.pop(key, None)) is not None:
            seconds = (entry.recorded_at - begun).total_seconds()
            self._time(span.metric, labels_of(span.labels, entry, entry.details), seconds)

    def signals_received(self, source: str, *, new: int, duplicates: int) -> None:
        """A batch was taken in: so many signals were new, so many known before."""
        self._count("penelope_signals_total", {"source": source, "outcome": "new"}, new)
        self._count("penelope_signals_total", {"source": source, "outcome": "duplicate"}, duplicates)

    def signal_refused(self, source: str, code: str) -> None:
        """A signal was refused with the code of an error."""
        self._count("penelope_signals_refused_total", {"source": source, "code": code})

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered; `route` is the template, such as ``/api/v1/incidents/{id}``."""
        self._count("penelope_http_requests_total", {"method": method, "route": route, "status": str(status)})
        self._time("penelope_http_request_seconds", {"route": route}, seconds)

    def token_read(self, issuer: str, outcome: str) -> None:
        """An access token was looked at, said to be of this issuer; empty is one that is not trusted."""
        self._count("penelope_tokens_total", {"issuer": issuer, "outcome": outcome})

    def issuer_asked(self, issuer: str, outcome: str) -> None:
        """An issuer was asked for its keys."""
        self._count("penelope_issuer_requests_total", {"issuer": issuer, "outcome": outcome})

    def problem_answered(self, code: str) -> None:
        """A request was answered with problem details."""
        self._count("penelope_problems_total", {"code": code})

    def incidents_counted(self, counts: Mapping[str, int]) -> None:
        """How many incidents there are by state, as the store says at this moment; ended ones are left out."""
        for state in IncidentState:
            if not state.ended:
                self._child("penelope_incidents_open", {"state": state}).set(counts.get(state, 0))

    def calibration_measured(self, count: int, brier: float | None, error: float | None) -> None:
        """How well confidence fits what came of plans; nothing is said of no plans."""
        self._child("penelope_calibration_outcomes", {}).set(count)
        self._child("penelope_calibration_brier", {}).set(nan if brier is None else brier)
        self._child("penelope_calibration_error", {}).set(nan if error is None else error)

    def halts_seen(self, states: Mapping[str, str]) -> None:
        """How the breakers stand at this moment, by the labels of their scopes; where some share a label, the worst.

        Those of before are forgotten. All causes share one: fingerprints come from outside, and would take the
        labels from services and the fleet.
        """
        self._metrics["penelope_halt_state"].clear()
        self._seen["penelope_halt_state", "scope"].clear()
        worst = {FLEET.label: 0, ScopeKind.CAUSE.value: 0}
        for scope in worst:
            self._admitted(("penelope_halt_state", "scope"), scope)
        for scope, state in states.items():
            of_cause = scope.startswith(f"{ScopeKind.CAUSE}:")
            name = ScopeKind.CAUSE.value if of_cause else scope
            label = self._admitted(("penelope_halt_state", "scope"), name)
            worst[label] = max(worst.get(label, 0), _HALT_STATES[state])
        for label, state_number in worst.items():
            self._child("penelope_halt_state", {"scope": label}).set(state_number)

    def access_decided(self, answers: Iterable[Access]) -> None:
        """The policy answered questions of access."""
        # Added up first: whoever asks anew for all definitions asks thousands of questions at once.
        for outcome, number in Tally(map(_said, answers)).items():
            self._count("ecp_policy_decisions_total", {"outcome": outcome}, number)

    def concept_told(self, told: Told | None, seconds: float) -> None:
        """A concept was resolved, or not; None where that was cut off, or an answer was withheld."""
        outcome = "failed" if told is None else told.outcome.value
        self._count("ecp_resolve_requests_total", {"outcome": outcome})
        self._time("ecp_resolve_duration_seconds", {}, seconds)
        if told is None:
            return
        if told.confidence is not None:
            self._time("ecp_resolve_confidence", {}, told.confidence.value)
        for notice in told.notices:
            self._count("ecp_degraded_answers_total", {"store": notice.store, "mode": notice.mode})

    def store_asked(self, store: Store, seconds: float) -> None:
        """A store of the context platform was asked once, and answered or failed."""
        self._time("ecp_store_query_duration_seconds", {"store": store}, seconds)

    def cache_asked(self, cache: str, *, hits: int = 0, misses: int = 0) -> None:
        """So often something was in a cache of the context platform, and so often not."""
        for result, number in (("hit", hits), ("miss", misses)):
            if number:
                self._count("ecp_cache_requests_total", {"cache": cache, "result": result}, number)

    def stores_seen(self, guards: Mapping[Store, GuardState], modes: Mapping[Store, DegradationMode]) -> None:
        """How the stores of the context platform stand at this moment, and how answers do without them."""
        for store, guard in guards.items():
            self._child("ecp_breaker_state", {"store": store}).set(_BREAKER_STATES[guard.breaker])
        self._metrics["ecp_degradation"].clear()
        for store, mode in modes.items():
            self._child("ecp_degradation", {"store": store, "mode": mode}).set(1)

    def deployments_seen(self, services: Iterable[str], active: Iterable[Deployment]) -> None:
        """The deployments under way at this moment, as the store says; `services` are those that can have one.

        What has ended leaves the page. Of too many to be named each, those beyond have no percentage.
        """
        totals, percentages = "penelope_canary_active_deployments", "penelope_canary_traffic_percentage"
        for name, label in ((totals, "service"), (percentages, "service"), (percentages, "deployment_id")):
            self._metrics[name].clear()
            self._seen[name, label].clear()
        for service in services:
            self._child(totals, {"service": service}).set(0)
        for number, deployment in enumerate(active):
            self._child(totals, {"service": deployment.service}).inc()
            if number < MOST_LABEL_VALUES:
                labels = {"service": deployment.service, "deployment_id": deployment.id}
                self._child(percentages, labels).set(deployment.weight)

    def asked_counted(self, counts: AskedCounts) -> None:
        """How many words of people are waited for, as the store says at this moment."""
        self._child("penelope_approvals_pending", {}).set(counts.pending)
        self._child("penelope_reviews_open", {}).set(counts.reviews)
        self._child("penelope_reviews_overdue", {}).set(counts.overdue)

    def log_looked_at(self, size: int, lag: Lag) -> None:
        """How the Merkle log stands."""
        self._child("penelope_log_size", {}).set(size)
        self._child("penelope_log_lag_entries", {}).set(lag.entries)
        self._child("penelope_log_xmin_age", {}).set(lag.xmin_age)

    def checkpoint_signed(self, size: int) -> None:
        """A checkpoint over so many entries was signed."""
        self._count("penelope_checkpoints_total", {})
        self._child("penelope_log_size", {}).set(size)

    def witness_asked(self, witness: str, outcome: str) -> None:
        """A witness was asked to cosign: `cosigned`, `refused` or `unavailable`."""
        self._count("penelope_witness_requests_total", {"witness": witness, "outcome": outcome})

    def flushed(self, records: int, seconds: float) -> None:
        """The buffer has written a batch of so many records in so many seconds."""
        self._time("penelope_buffer_flush_seconds", {}, seconds)
        self._time("penelope_buffer_batch_records", {}, records)

    def counted(self, counts: Counts) -> None:
        """How the buffer stands."""
        self._child("penelope_buffer_waiting", {}).set(counts.waiting + counts.spilled)
        self._child("penelope_buffer_refused", {}).set(counts.refused)
        self._child("penelope_buffer_lost", {}).set(counts.lost)

    def ledger_swept(self, flaws: int) -> None:
        """All stored history was verified, and so much did not fit."""
        self._child("penelope_ledger_flaws", {}).set(flaws)

    def constitution_scored(self, compliance: Compliance) -> None:
        """How well the decisions of late keep the constitution; without any there is no number to tell."""
        score = compliance.score
        self._child("penelope_constitution_score", {}).set(nan if score is None else score)
        shares = {item.article: item.share for item in compliance.articles}
        for article in Article:
            share = shares.get(article, nan)
            self._child("penelope_constitution_share", {"article": article}).set(share)

    def _count(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        self._child(name, labels).inc(amount)

    def _time(self, name: str, labels: Mapping[str, str], seconds: Any) -> None:
        # One NaN would stay in the sum for good, and a sum that falls, as when a clock is set back, looks like a restart.
        if isinstance(seconds, int | float) and isfinite(seconds):
            self._child(name, labels).observe(max(0, seconds))

    def _child(self, name: str, labels: Mapping[str, str]) -> Any:
        admitted = {label: self._admitted((name, label), value) for label, value in labels.items()}
        metric = self._metrics[name]
        return metric.labels(**admitted) if admitted else metric

    def _admitted(self, label: tuple[str, str], value: str) -> str:
        seen, short = self._seen[label], value[:LONGEST_LABEL_VALUE]
        if short in seen:
            return short
        if len(seen) >= MOST_LABEL_VALUES:
            return "other"
        seen.add(short)
        return short


def _said(access: Access) -> str:
    if access.allow:
        return "masked" if access.masks or access.row_filters else "allowed"
    return "failed" if access.failed else "denied"


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    extra = {"buckets": metric.buckets} if metric.kind == "histogram" else {}
    return _KINDS[metric.kind](metric.name, metric.help, metric.labels, registry=registry, **extra)
