"""Alerting rules as Prometheus has them, with the inhibition and the webhook format of Alertmanager."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from shop.scrape import Figures, History

SERVICE = "shop"
_EXTERNAL_URL = "http://alerts.shop.example"
_NEVER = "0001-01-01T00:00:00Z"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Fires while `value` of the service's figures is above `above`.

    `expression` is the same in PromQL, for people; `names_release` adds the release of the worst instance.
    """

    name: str
    severity: str
    expression: str
    summary: str
    value: Callable[[Figures], float]
    above: float
    names_release: bool = False
    inhibited_by: tuple[str, ...] = ()


# A rule stands after those that inhibit it.
RULES = (
    Rule(
        name="ShopConfigInvalid",
        severity="critical",
        expression="min(shop_config_valid) == 0",
        summary="{value:.0f} instance(s) of the shop refuse their configuration",
        value=lambda figures: figures.invalid_configs,
        above=0.0,
    ),
    Rule(
        name="ShopSchemaOutdated",
        severity="warning",
        expression="max(shop_schema_wanted - shop_schema_version) > 0",
        summary="the shop's database is {value:.0f} schema version(s) behind",
        value=lambda figures: figures.schema_lag,
        above=0.0,
    ),
    Rule(
        name="ShopHighErrorRate",
        severity="critical",
        expression='sum(rate(shop_requests_total{code=~"5.."}[w])) / sum(rate(shop_requests_total[w])) > 0.05',
        summary="shop error ratio {value:.2%}",
        value=lambda figures: figures.error_ratio,
        above=0.05,
        names_release=True,
        inhibited_by=("ShopConfigInvalid", "ShopSchemaOutdated"),
    ),
    Rule(
        name="ShopHighLatency",
        severity="warning",
        expression="histogram_quantile(0.99, sum by (le) (rate(shop_request_duration_seconds_bucket[w]))) > 0.25",
        summary="shop p99 latency {value:.3f} s",
        value=lambda figures: figures.p99_seconds,
        above=0.25,
        names_release=True,
        inhibited_by=("ShopConfigInvalid", "ShopSchemaOutdated", "ShopHighErrorRate"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How long a rule looks back, must hold before it fires, must be healthy before it resolves; in seconds."""

    interval_seconds: float = 1.0
    window_seconds: float = 6.0
    for_seconds: float = 2.0
    resolve_seconds: float = 4.0
    repeat_seconds: float = 10.0


@dataclass(slots=True, kw_only=True)
class Alert:
    """One time that a rule fired; `told` is the status that was last delivered, at `told_at`."""

    rule: Rule
    labels: Mapping[str, str]
    summary: str
    starts_at: datetime
    ends_at: datetime | None = None
    told: str | None = None
    told_at: datetime = _LONG_AGO

    @property
    def status(self) -> str:
        return "firing" if self.ends_at is None else "resolved"

    @property
    def matters(self) -> bool:
        """False once the receiver was told of its end, or if it ended before anybody heard of it."""
        return self.ends_at is None or self.told == "firing"

    def is_due(self, now: datetime, repeat_seconds: float) -> bool:
        return self.told != self.status or (now - self.told_at).total_seconds() >= repeat_seconds


@dataclass(slots=True)
class _Track:
    """Where one rule stands. `muted_until`: what happened before is another alert's business."""

    bad_since: datetime | None = None
    good_since: datetime | None = None
    muted_until: datetime = _LONG_AGO
    alert: Alert | None = None

    @property
    def active(self) -> bool:
        return self.alert is not None or self.bad_since is not None


@dataclass(slots=True)
class Alarm:
    """Evaluates the rules; its clock is the `now` that it is given."""

    rhythm: Rhythm
    rules: Sequence[Rule] = RULES
    _tracks: dict[str, _Track] = field(default_factory=lambda: defaultdict(_Track))

    def evaluate(self, now: datetime, histories: Mapping[str, History]) -> list[Alert]:
        """The alerts that began to fire just now; one that ends has its `ends_at` set in place."""
        begun = (self._step(rule, now, histories) for rule in self.rules)
        return [alert for alert in begun if alert is not None]

    def _step(self, rule: Rule, now: datetime, histories: Mapping[str, History]) -> Alert | None:
        track = self._tracks[rule.name]
        if track.alert is None and any(self._tracks[name].active for name in rule.inhibited_by):
            track.bad_since, track.muted_until = None, now
            return None
        after = max(now - timedelta(seconds=self.rhythm.window_seconds), track.muted_until)
        parts = {name: history.figures(after) for name, history in histories.items()}
        value = rule.value(Figures.total(parts.values()))
        if value <= rule.above:
            self._recover(track, now)
            return None
        track.good_since = None
        track.bad_since = track.bad_since or now
        if track.alert is not None or (now - track.bad_since).total_seconds() < self.rhythm.for_seconds:
            return None
        labels = {"alertname": rule.name, "service": SERVICE, "severity": rule.severity}
        if rule.names_release:
            worst = max(parts, key=lambda name: rule.value(parts[name]))
            labels["release"] = histories[worst].release
        track.alert = Alert(rule=rule, labels=labels, summary=rule.summary.format(value=value), starts_at=now)
        return track.alert

    def _recover(self, track: _Track, now: datetime) -> None:
        track.bad_since = None
        if track.alert is None:
            return
        track.good_since = track.good_since or now
        if (now - track.good_since).total_seconds() >= self.rhythm.resolve_seconds:
            track.alert.ends_at = now
            track.alert = track.good_since = None


def payload(alert: Alert) -> dict[str, Any]:
    """The body of Alertmanager's webhook, version 4: a group by name and service, which holds one alert."""
    group = {name: alert.labels[name] for name in ("alertname", "service")}
    annotations = {
        "runbook_url": f"{_EXTERNAL_URL}/runbooks/{alert.rule.name}",
        "summary": alert.summary,
    }
    one = {
        "status": alert.status,
        "labels": dict(alert.labels),
        "annotations": annotations,
        "startsAt": _wire(alert.starts_at),
        "endsAt": _NEVER if alert.ends_at is None else _wire(alert.ends_at),
        "generatorURL": f"{_EXTERNAL_URL}/graph?g0.expr={quote(alert.rule.expression, safe='')}&g0.tab=1",
        "fingerprint": fingerprint(alert.labels),
    }
    key = ", ".join(f'{name}="{value}"' for name, value in sorted(group.items()))
    return {
        "receiver": "penelope",
        "status": alert.status,
        "alerts": [one],
        "groupLabels": group,
        "commonLabels": dict(alert.labels),
        "commonAnnotations": annotations,
        "externalURL": _EXTERNAL_URL,
        "version": "4",
        "groupKey": f"{{}}:{{{key}}}",
        "truncatedAlerts": 0,
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """Prometheus' own: 64-bit FNV-1a over the sorted labels, each name and value followed by 0xFF."""
    total = 0xCBF29CE484222325
    for name, value in sorted(labels.items()):
        for byte in (*name.encode(), 0xFF, *value.encode(), 0xFF):
            total = ((total ^ byte) * 0x100000001B3) % 2**64
    return f"{total:016x}"


def _wire(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
