import asyncio

import pytest

from penelope.domain.service import (
    CounterQuery,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Objective,
    Service,
    Target,
)
from penelope.errors import ActionFailed, Timeout, Unavailable
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.context import run
from penelope.testing.clock import FakeClock
from penelope.testing.metrics import FakeMetrics, Figures, figures


def target(name: str, adapter: str = "process") -> Target:
    return Target(name=name, service="shop", adapter=adapter)


SHOP = Service(
    name="shop",
    owner="team-shop",
    tier=2,
    dependencies=("db", "mail"),
    objectives=(
        Objective(name="errors", metric="error_ratio", at_most=0.02),
        Objective(name="latency", metric="metric.latency_p99_seconds", at_most=0.5),
    ),
    metrics=MetricQueries(
        source="scrape",
        instances={"a": "http://a/metrics", "b": "http://b/metrics"},
        requests=CounterQuery(counter="requests_total"),
        errors=ErrorSelector(label="code", pattern="5.."),
        latency=HistogramQuery(histogram="seconds"),
    ),
    targets={"instance-b": target("instance-b"), "config": target("config", "git_patch")},
)


class Changes:
    """Answers by target name; an exception is raised, None never answers."""

    def __init__(self, **answers) -> None:
        self.answers = {name.replace("_", "-"): answer for name, answer in answers.items()}
        self.waiting = 0
        self.most_waiting = 0

    async def changes(self, target: Target):
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            await asyncio.sleep(0)
            answer = self.answers.get(target.name, {})
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self.waiting -= 1


CLOCK = FakeClock()


def gather(*answers, service: Service = SHOP, changes: Changes | None = None):
    metrics = FakeMetrics(CLOCK)
    metrics.script("shop", *answers)
    return asyncio.run(run.gather(service, metrics, changes or Changes(), window_seconds=60, now=CLOCK.now()))


BROKEN = Figures(
    {"a": figures(100, 10, 0.2), "b": figures(100, 0, 0.1)},
    gauges={"a": {"valid": 1.0}, "b": {"valid": 0.0}},
)


def test_everything_that_is_known_is_in_the_dossier_in_order():
    changes = Changes(instance_b={"release": "2.1", "previous_release": "2.0"}, config={"head": "abc"})
    found = gather(BROKEN, changes=changes)
    names = ["error_ratio", "latency_p99_seconds", "request_rate", "requests", "success_ratio", "valid"]
    assert [item.concept for item in found.evidence] == [
        "service.owner",
        "service.tier",
        "service.dependencies",
        "slo.errors",
        "slo.latency",
        *(f"metric.{name}{arm}" for name in names for arm in ("", "@a", "@b")),
        "change.config.head",
        "change.instance-b.previous_release",
        "change.instance-b.release",
    ]
    assert found.service == "shop"
    assert found.gathered_at == CLOCK.now()
    assert found.value("service.owner") == "team-shop"
    assert found.value("service.tier") == 2
    assert found.value("service.dependencies") == ["db", "mail"]
    assert found.value("metric.error_ratio") == 0.05
    assert found.value("metric.error_ratio@a") == 0.1
    assert found.value("metric.valid") == 0.0
    assert found.value("slo.errors") == {"objective": 0.02, "actual": 0.05, "met": False}
    assert found.value("slo.latency") == {"objective": 0.5, "actual": 0.2, "met": True}
    assert found.value("change.instance-b.release") == "2.1"
    assert found.confidence == 1.0
    assert canonical(to_data(found))


def test_sources_and_moments_are_told():
    found = gather(BROKEN, changes=Changes(config={"head": "abc"}))
    assert found.get("service.owner").source == "catalogue"
    assert found.get("metric.error_ratio").source == "metrics"
    assert found.get("change.config.head").source == "git_patch"
    assert found.get("metric.error_ratio").observed_at == CLOCK.now()


def test_figures_of_the_service_are_as_sure_as_the_share_of_instances_seen():
    found = gather(Figures({"a": figures(100, 1)}, gauges={"a": {"valid": 1.0}, "b": {"valid": 1.0}}))
    ratio = found.get("metric.error_ratio")
    assert (ratio.value, ratio.confidence, ratio.note) == (0.01, 0.5, "1 of 2 instances seen")
    assert found.get("slo.errors").confidence == 0.5
    assert found.get("metric.error_ratio@a").confidence == 1.0
    assert found.get("metric.valid").confidence == 1.0


@pytest.mark.parametrize("error", [Unavailable("no instance shows its metrics"), Timeout("too late")])
def test_metrics_that_cannot_be_read_are_evidence_of_nothing_with_the_reason(error):
    found = gather(error)
    for concept in ("metric.error_ratio", "slo.errors", "slo.latency"):
        missing = found.get(concept)
        assert (missing.value, missing.confidence, missing.note) == (None, 0.0, error.message)
    assert found.get("metric.requests") is None
    assert found.value("service.owner") == "team-shop"


def test_without_requests_the_error_ratio_is_unknown_and_says_so():
    found = gather(Figures({"a": figures(0), "b": figures(0)}))
    ratio = found.get("metric.error_ratio")
    assert (ratio.value, ratio.confidence, ratio.note) == (None, 0.0, "no requests in the last 60 s")
    assert found.get("slo.errors").note == ratio.note
    assert found.get("slo.latency").note == "metric.latency_p99_seconds was not seen"
    assert found.value("metric.requests") == 0


def test_before_a_second_sample_nothing_is_said():
    assert gather(Figures({})).get("metric.error_ratio").note == "too few samples yet"


@pytest.mark.parametrize("error", [Unavailable("supervisor is out of reach"), Timeout("too late")])
def test_a_target_out_of_reach_does_not_hide_the_others(error):
    found = gather(BROKEN, changes=Changes(instance_b=error, config={"head": "abc", "author": None}))
    missing = found.get("change.instance-b")
    assert (missing.value, missing.confidence, missing.note) == (None, 0.0, error.message)
    assert found.value("change.config.head") == "abc"
    unknown = found.get("change.config.author")
    assert (unknown.known, unknown.confidence, unknown.note) == (False, 0.0, "not known at the source")


def test_targets_are_asked_at_the_same_time_and_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(run, "CHANGES_TIMEOUT_SECONDS", 0.05)
    changes = Changes(instance_b=None, config=None)
    found = gather(BROKEN, changes=changes)
    assert changes.most_waiting == 2
    assert found.get("change.config").note == "no answer within 0.05 s"
    assert found.get("change.instance-b").note == "no answer within 0.05 s"


@pytest.mark.parametrize("answers", [(ActionFailed("a bug"),), (BROKEN,)])
def test_other_errors_are_not_hidden(answers):
    with pytest.raises(ActionFailed):
        gather(*answers, changes=Changes(config=ActionFailed("a bug")))


def test_a_service_of_which_nothing_is_known_but_its_entry():
    bare = Service(name="shop", owner="team", tier=4)
    found = gather(Figures({"a": figures(10)}), service=bare)
    assert found.value("service.dependencies") == []
    assert found.get("metric.requests").confidence == 1.0
