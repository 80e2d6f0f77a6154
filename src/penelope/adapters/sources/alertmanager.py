"""Signals from Alertmanager's webhook, version 4 of its payload."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from penelope.adapters.sources.body import Moment, Text, Texts, fit, parse, utc
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.errors import InvalidRequest, InvalidSignal
from penelope.kit.clock import timestamp

_SEVERITIES: Mapping[str, Severity] = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.ERROR,
    "high": Severity.ERROR,
    "warning": Severity.WARNING,
    "warn": Severity.WARNING,
    "info": Severity.INFO,
    "none": Severity.INFO,
}
_NO_END = 1
"""The year of Go's zero time, which stands for "has not ended"."""


class _Alert(msgspec.Struct, rename="camel"):
    status: SignalStatus
    labels: Texts
    starts_at: Moment
    ends_at: Moment
    fingerprint: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    annotations: Texts = {}


class _Webhook(msgspec.Struct):
    version: Literal["4"]
    receiver: Text
    alerts: list[_Alert]
    external_url: Text = msgspec.field(name="externalURL", default="")


def read(body: bytes, now: datetime) -> list[Signal]:
    """A signal for each alert of a webhook; firing and resolved are two observations, a re-send is none.

    All or nothing: one alert that cannot be taken refuses the body. Raises InvalidRequest for a body that is
    no webhook of version 4, InvalidSignal for an alert that names no problem or no service.
    """
    data = parse(body)
    version = data.get("version") if isinstance(data, dict) else None
    if version != "4":
        raise InvalidRequest(
            "version: the body is not a webhook of Alertmanager in version 4",
            hint="Point a `webhook_configs` receiver of Alertmanager 0.16 or newer at this address.",
        )
    webhook = fit(data, _Webhook)
    source = f"alertmanager:{webhook.external_url or webhook.receiver}"
    return [_signal(alert, source, f"alerts[{index}]", now) for index, alert in enumerate(webhook.alerts)]


def _signal(alert: _Alert, source: str, path: str, now: datetime) -> Signal:
    labels = alert.labels
    name = labels.get("alertname")
    service = labels.get("service") or labels.get("job")
    if not name:
        raise InvalidSignal(f"{path}.labels: the label 'alertname' is missing")
    if not service:
        raise InvalidSignal(
            f"{path}.labels: neither 'service' nor 'job' says which service '{name[:64]}' is about",
            hint="Add the label 'service' to the alerting rule.",
        )
    starts_at = utc(alert.starts_at, f"{path}.startsAt")
    ended = alert.ends_at.year != _NO_END
    return Signal(
        source=source,
        id=f"{alert.fingerprint}:{timestamp(starts_at)}:{alert.status.value}",
        service=service,
        name=name,
        severity=_SEVERITIES.get(labels.get("severity", "").lower(), Severity.WARNING),
        status=alert.status,
        starts_at=starts_at,
        received_at=now,
        fingerprint=problem_fingerprint(service, name),
        ends_at=utc(alert.ends_at, f"{path}.endsAt") if ended else None,
        labels=labels,
        annotations=alert.annotations,
    )
