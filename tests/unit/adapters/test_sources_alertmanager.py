import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penelope.adapters.sources.alertmanager import read
from penelope.domain.signal import Severity, SignalStatus, problem_fingerprint
from penelope.errors import InvalidRequest, InvalidSignal

NOW = datetime(2026, 11, 21, 2, 5, tzinfo=UTC)
RECORDED = json.loads((Path(__file__).parents[2] / "corpus" / "alertmanager_webhook.json").read_text())
FIRING = RECORDED["firing"]["body"]
RESOLVED = RECORDED["resolved"][0]["body"]


def sent(body):
    return read(json.dumps(body).encode(), NOW)


def with_alert(**changes):
    """The recorded webhook with changes to its second alert; None removes a key."""
    body = copy.deepcopy(FIRING)
    alert = body["alerts"][1]
    for key, value in changes.items():
        if value is None:
            del alert[key]
        else:
            alert[key] = value
    return body


def with_labels(**labels):
    return with_alert(labels=labels)


def test_a_recorded_webhook_becomes_a_signal_for_each_alert():
    cart, checkout = sent(FIRING)

    assert cart.source == "alertmanager:http://vm:19093"
    assert cart.id == "801172b6d34960ad:2026-11-21T02:01:55.256000Z:firing"
    assert (cart.service, cart.name) == ("cart", "HighErrorRate")
    assert (cart.severity, cart.status) == (Severity.CRITICAL, SignalStatus.FIRING)
    assert cart.starts_at == datetime(2026, 11, 21, 2, 1, 55, 256000, tzinfo=UTC)
    assert cart.ends_at is None
    assert cart.received_at is NOW
    assert cart.fingerprint == problem_fingerprint("cart", "HighErrorRate")
    assert cart.labels == FIRING["alerts"][0]["labels"]
    assert cart.annotations == FIRING["alerts"][0]["annotations"]
    assert checkout.service == "checkout"


def test_resolved_is_another_observation_of_the_same_problem():
    [firing, _], [resolved, _] = sent(FIRING), sent(RESOLVED)

    assert resolved.status is SignalStatus.RESOLVED
    assert resolved.ends_at == datetime(2026, 11, 21, 2, 2, 55, 256000, tzinfo=UTC)
    assert resolved.fingerprint == firing.fingerprint
    assert resolved.id != firing.id
    assert resolved.source == firing.source


def test_a_resend_is_the_same_observation():
    assert [signal.id for signal in sent(FIRING)] == [signal.id for signal in sent(FIRING)]


def test_the_same_instant_in_another_zone_is_the_same_observation():
    body = with_alert(startsAt="2026-11-21T03:01:55.256+01:00")

    assert sent(body)[1].id == sent(FIRING)[1].id
    assert sent(body)[1].starts_at.tzinfo is UTC


def test_without_an_external_url_the_receiver_names_the_source():
    assert sent({**FIRING, "externalURL": ""})[0].source == "alertmanager:penelope"


def test_the_job_stands_in_for_the_service():
    assert sent(with_labels(alertname="Down", job="node"))[1].service == "node"
    assert sent(with_labels(alertname="Down", job="node", service="shop"))[1].service == "shop"
    assert sent(with_labels(alertname="Down", job="node", service=""))[1].service == "node"


@pytest.mark.parametrize(
    ("label", "severity"),
    [
        ("page", Severity.CRITICAL),
        ("CRITICAL", Severity.CRITICAL),
        ("high", Severity.ERROR),
        ("error", Severity.ERROR),
        ("warn", Severity.WARNING),
        ("warning", Severity.WARNING),
        ("none", Severity.INFO),
        ("info", Severity.INFO),
        ("p17", Severity.WARNING),
    ],
)
def test_severities_are_mapped(label, severity):
    assert sent(with_labels(alertname="A", service="s", severity=label))[1].severity is severity


def test_a_missing_severity_is_a_warning():
    assert sent(with_labels(alertname="A", service="s"))[1].severity is Severity.WARNING


def test_a_webhook_without_alerts_is_nothing():
    assert sent({**FIRING, "alerts": []}) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (with_labels(alertname="A"), "alerts[1].labels: neither 'service' nor 'job'"),
        (with_labels(service="shop"), "alerts[1].labels: the label 'alertname' is missing"),
        (with_alert(startsAt="0001-01-01T00:00:00Z"), "alerts[1].startsAt: the year 1 cannot be right"),
        (with_alert(endsAt="9999-12-31T23:59:59Z"), "alerts[1].endsAt: the year 9999 cannot be right"),
    ],
)
def test_one_alert_that_says_too_little_refuses_the_webhook(body, said):
    with pytest.raises(InvalidSignal) as refused:
        sent(body)

    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**FIRING, "version": "3"}, "version: "),
        ({**FIRING, "version": 4}, "version: "),
        ([], "version: "),
        ({**FIRING, "alerts": {}}, "alerts: Expected `array`"),
        ({"version": "4", "receiver": "x"}, "the body: Object missing required field `alerts`"),
        (with_alert(status="pending"), "alerts[1].status: Invalid enum value 'pending'"),
        (with_alert(status=None), "alerts[1]: Object missing required field `status`"),
        (with_alert(fingerprint=""), "alerts[1].fingerprint: Expected `str` of length >= 1"),
        (with_alert(startsAt="yesterday"), "alerts[1].startsAt: Invalid RFC3339"),
        (with_alert(startsAt="2026-11-21T02:01:55"), "alerts[1].startsAt: Expected `datetime` with a timezone"),
        (with_labels(alertname="A", service=7), "alerts[1].labels[...]: Expected `str`, got `int`"),
        (with_labels(**{"k" * 257: "v"}), "alerts[1].labels: Expected `str` of length <= 256"),
        (with_labels(k="v" * 4097), "alerts[1].labels[...]: Expected `str` of length <= 4096"),
        (with_labels(**{f"k{n}": "" for n in range(65)}), "alerts[1].labels: Expected `object` of length <= 64"),
        (with_alert(annotations={"a": None}), "alerts[1].annotations[...]: Expected `str`, got `null`"),
    ],
)  # fmt: skip
def test_what_is_no_webhook_is_refused_with_its_path(body, said):
    with pytest.raises(InvalidRequest) as refused:
        sent(body)

    assert str(refused.value).startswith(said)
    assert refused.value.advice


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b'{"version": "4"', "unexpected end"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ('{"version": "4"}'.encode("utf-16"), "not JSON that can be used"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": NaN}', "unexpected character"),
        (b'{"a": 1e400}', "infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "infinity"),
        (b"[" * 100_000, "depth limit"),
        (b"[" * 1020 + b"]" * 1020, "nested too deeply"),
        (b"[" * 700 + rb'"\u0000"' + b"]" * 700, "nested too deeply"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' occurs twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' occurs twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ["x\\u0000"]}', "U+0000"),
        (b'{"a": {"\\u0000": 1}}', "U+0000"),
        (b'{"a": 1} {}', "unexpected content"),
        (b"{'a': 1}", "unexpected character"),
    ],
)
def test_hostile_json_is_refused(body, said):
    with pytest.raises(InvalidRequest) as refused:
        read(body, NOW)

    assert said in str(refused.value)
    assert refused.value.advice


def test_an_escaped_backslash_is_not_a_nul():
    body = with_labels(alertname="A", service="s", path=r"C:\u0000")

    assert sent(body)[1].labels["path"] == r"C:\u0000"


def test_nothing_of_a_storm_of_20_000_alerts_is_lost():
    alert = FIRING["alerts"][0]
    body = json.dumps(
        {
            **FIRING,
            "alerts": [
                {**alert, "labels": {**alert["labels"], "service": f"s{n % 200}"}, "fingerprint": f"{n:016x}"}
                for n in range(20_000)
            ],
        }
    ).encode()

    signals = read(body, NOW)

    assert len({signal.id for signal in signals}) == 20_000
    assert len({signal.fingerprint for signal in signals}) == 200
