import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shop.alerts import Alarm, Rhythm, fingerprint, payload
from shop.measures import Measures
from shop.scrape import Figures, History, parse

RECORDED = json.loads((Path(__file__).parents[1] / "corpus" / "alertmanager_webhook.json").read_text())
START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class Shop:
    """Two instances, an alarm, and a clock that goes on a second at each `second`."""

    def __init__(self, rhythm=None):
        self.measures = {"a": Measures("1.0"), "b": Measures("2.0")}
        for measures in self.measures.values():
            measures.config_valid.set(1)
            measures.schema_version.set(1)
            measures.schema_wanted.set(1)
        self.histories = {name: History() for name in self.measures}
        self.alarm = Alarm(rhythm or Rhythm(window_seconds=4, for_seconds=2, resolve_seconds=3))
        self.now = START

    def serve(self, instance, count, code=200, duration=0.01):
        for _ in range(count):
            self.measures[instance].seen("/products", code, duration)

    def second(self):
        self.now += timedelta(seconds=1)
        for name, measures in self.measures.items():
            self.histories[name].add(self.now, parse(measures.text().decode()))
        return self.alarm.evaluate(self.now, self.histories)

    def seconds(self, count, *work):
        """Names and moments (in seconds from the start) of what began to fire; keeps the alerts."""
        begun = []
        for _ in range(count):
            for step in work:
                step()
            begun += self.second()
        return begun

    def elapsed(self, moment):
        return (moment - START).total_seconds()


def names(alerts):
    return [alert.rule.name for alert in alerts]


def test_fires_once_after_its_time_and_resolves_after_its_time():
    shop = Shop()

    def errors():
        shop.serve("a", 20)
        shop.serve("b", 14)
        shop.serve("b", 6, code=503)

    assert shop.seconds(3, lambda: shop.serve("a", 20), lambda: shop.serve("b", 20)) == []
    (alert,) = shop.seconds(8, errors)
    assert alert.labels == {
        "alertname": "ShopHighErrorRate",
        "service": "shop",
        "severity": "critical",
        "release": "2.0",
    }
    assert shop.elapsed(alert.starts_at) == 7  # above 5 % at 5, and for two seconds
    assert shop.seconds(20, lambda: shop.serve("a", 20), lambda: shop.serve("b", 20)) == []
    assert shop.elapsed(alert.ends_at) == 17  # one second of errors in the window at 14; healthy for 3 more


def test_a_short_dip_fires_nothing():
    shop = Shop(Rhythm(window_seconds=2, for_seconds=4, resolve_seconds=1))
    shop.seconds(2)
    assert shop.seconds(1, lambda: shop.serve("a", 10, code=500)) == []
    assert shop.seconds(10, lambda: shop.serve("a", 10)) == []


def test_slow_answers_fire_the_latency_rule_alone():
    shop = Shop()
    (alert,) = shop.seconds(8, lambda: shop.serve("a", 20, duration=0.4))
    assert alert.rule.name == "ShopHighLatency"
    assert alert.labels["release"] == "1.0"
    assert "0.49" in alert.summary


def test_errors_that_are_slow_are_one_alert():
    shop = Shop()
    assert names(shop.seconds(10, lambda: shop.serve("a", 20, code=500, duration=0.4))) == [
        "ShopHighErrorRate"
    ]


@pytest.mark.parametrize(
    ("gauge", "bad", "good", "name"),
    [
        ("config_valid", 0, 1, "ShopConfigInvalid"),
        ("schema_wanted", 2, 1, "ShopSchemaOutdated"),
    ],
)
def test_a_cause_silences_its_symptoms_and_leaves_none_behind(gauge, bad, good, name):
    shop = Shop()
    shop.seconds(2, lambda: shop.serve("a", 20))
    getattr(shop.measures["a"], gauge).set(bad)
    (alert,) = shop.seconds(10, lambda: shop.serve("a", 20, code=503, duration=0.6))
    assert alert.rule.name == name
    getattr(shop.measures["a"], gauge).set(good)
    assert shop.seconds(20, lambda: shop.serve("a", 20)) == []
    assert shop.elapsed(alert.ends_at) == 16


def test_a_symptom_that_outlives_its_cause_needs_its_time_again():
    shop = Shop()
    shop.measures["a"].config_valid.set(0)
    (cause,) = shop.seconds(6, lambda: shop.serve("a", 20, code=503))
    shop.measures["a"].config_valid.set(1)
    (symptom,) = shop.seconds(12, lambda: shop.serve("a", 20, code=503))
    assert symptom.rule.name == "ShopHighErrorRate"
    assert (symptom.starts_at - cause.ends_at) >= timedelta(seconds=2)


def test_an_alert_that_fires_runs_its_course_beside_a_later_cause():
    shop = Shop()
    (first,) = shop.seconds(6, lambda: shop.serve("a", 20, code=500))
    shop.measures["a"].config_valid.set(0)
    assert names(shop.seconds(6, lambda: shop.serve("a", 20, code=500))) == ["ShopConfigInvalid"]
    assert first.ends_at is None
    shop.seconds(10, lambda: shop.serve("a", 20))
    assert first.ends_at is not None


def test_a_restarted_instance_counts_from_zero_and_a_silent_one_not_at_all():
    history = History()
    moments = [START + timedelta(seconds=second) for second in range(5)]
    measures = Measures("1.0")
    for _ in range(50):
        measures.seen("/", 200, 0.01)
    history.add(moments[0], parse(measures.text().decode()))
    assert history.figures(START - timedelta(1)).requests == 0  # what was before is unknown
    history.add(moments[1], None)
    restarted = Measures("2.0")
    restarted.config_valid.set(0)
    for code in (200, 500, 500):
        restarted.seen("/", code, 0.01)
    history.add(moments[2], parse(restarted.text().decode()))
    figures = history.figures(moments[1])
    assert (figures.requests, figures.errors, figures.invalid_configs) == (3, 2, 1)
    assert history.figures(moments[2]).requests == 0
    assert history.release == "2.0"
    history.add(moments[3], None)
    assert history.figures(moments[1]).invalid_configs == 0
    history.add(START + timedelta(hours=1), parse(restarted.text().decode()))
    assert history.figures(START - timedelta(1)).requests == 0  # long forgotten


def test_p99_interpolates_and_stays_finite():
    assert Figures().p99_seconds == 0.0
    infinite = float("inf")
    assert Figures(buckets={0.1: 0, 0.2: 100, infinite: 100}).p99_seconds == pytest.approx(0.199)
    assert Figures(buckets={0.1: 50, 2.5: 60, infinite: 100}).p99_seconds == 2.5


def test_text_that_is_no_metrics_is_a_value_error():
    with pytest.raises(ValueError, match="float"):
        parse("shop_config_valid one")


def test_the_payload_has_the_shape_of_the_recorded_one():
    shop = Shop()
    shop.measures["a"].config_valid.set(0)
    (alert,) = shop.seconds(5)
    firing = payload(alert)
    shop.measures["a"].config_valid.set(1)
    shop.seconds(5)
    resolved = payload(alert)
    for ours, theirs in ((firing, RECORDED["firing"]["body"]), (resolved, RECORDED["resolved"][0]["body"])):
        assert _shape(ours) == _shape(theirs)
        assert ours["status"] == ours["alerts"][0]["status"] == theirs["status"]
        assert ours["version"] == theirs["version"]
        assert ours["groupKey"] == '{}:{alertname="ShopConfigInvalid", service="shop"}'
    assert firing["alerts"][0]["endsAt"] == RECORDED["firing"]["body"]["alerts"][0]["endsAt"]
    assert firing["alerts"][0]["startsAt"] == resolved["alerts"][0]["startsAt"] == "2026-11-21T07:00:03.000Z"
    assert resolved["alerts"][0]["endsAt"] == "2026-11-21T07:00:09.000Z"


def _shape(value):
    """Keys and types, without those of free maps."""
    if isinstance(value, list):
        return [_shape(value[0])]
    if isinstance(value, dict):
        free = {"labels", "annotations", "groupLabels", "commonLabels", "commonAnnotations"}
        return {key: dict if key in free else _shape(item) for key, item in value.items()}
    return type(value)


@pytest.mark.parametrize(
    "alert", RECORDED["firing"]["body"]["alerts"], ids=lambda alert: alert["fingerprint"]
)
def test_fingerprints_are_those_of_the_real_one(alert):
    assert fingerprint(alert["labels"]) == alert["fingerprint"]
